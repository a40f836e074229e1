// Where accounts from the API may be: ranges, and that a name's addresses are judged as well.
#include "penstock/base/env.h"
#include "penstock/ctl/address.h"
#include "test.h"

#include <arpa/inet.h>

static union dest_addr addr_of(const char *text)
{
    union dest_addr addr;
    memset(&addr, 0, sizeof(addr));
    if (strchr(text, ':') == NULL) {
        addr.v4.sin_family = AF_INET;
        EXPECT_EQ(inet_pton(AF_INET, text, &addr.v4.sin_addr), 1);
    } else {
        addr.v6.sin6_family = AF_INET6;
        EXPECT_EQ(inet_pton(AF_INET6, text, &addr.v6.sin6_addr), 1);
    }
    return addr;
}

static struct config *config_of(struct vault *vault, const char *yaml)
{
    static struct problems problems;
    problems_init(&problems);
    return config_load(span_str(yaml), "test", vault, config_world_system(), &problems);
}

static void test_ranges(void)
{
    static const struct {
        const char *text;
        bool allowed;
    } cases[] = {
        { "93.184.216.34", true },
        { "2606:2800:220:1::1", true },
        { "127.0.0.1", false },
        { "0.0.0.0", false },
        { "10.9.0.1", false },
        { "10.1.255.255", true },
        { "10.2.0.0", false },
        { "100.64.0.1", false },
        { "100.128.0.1", true },
        { "172.15.255.255", true },
        { "172.16.0.1", false },
        { "172.31.255.255", false },
        { "172.32.0.0", true },
        { "192.168.0.1", false },
        { "169.254.169.254", false },
        { "224.0.0.1", false },
        { "255.255.255.255", false },
        { "::1", false },
        { "::", false },
        { "fe80::1", false },
        { "febf::1", false },
        { "fc00::1", false },
        { "fd12::7", true },
        { "fd13::7", false },
        { "::ffff:10.1.0.1", false },
        { "::ffff:169.254.169.254", false },
        { "64:ff9b::a00:1", false },
        { "64:ff9b:1::a00:1", false },
        { "2002:7f00:1::1", false }, // 6to4 carries an IPv4 address, which may be anything
        { "2002:a9fe:a9fe::1", false },
        { "2003::1", true },
    };
    struct vault *vault;
    EXPECT(!failed(vault_new(&vault)));
    // A link-local range cannot even be written there.
    struct config *config = config_of(vault, "config_version: 1\nupstream:\n  allow_cidr: "
                                             "[10.1.0.0/16, fd12::/16]\n");
    EXPECT(config != NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const union dest_addr addr = addr_of(cases[i].text);
        if (address_allow(&config, &addr) != cases[i].allowed)
            fprintf(stderr, "%s:\n", cases[i].text);
        EXPECT_EQ(address_allow(&config, &addr), cases[i].allowed);
    }
    config_free(&config);
    vault_free(&vault);
}

static void test_what_a_name_resolves_to_is_judged(void)
{
    struct vault *vault;
    struct dests *dests;
    char why[TLS_WHY_MAX];
    EXPECT(!failed(vault_new(&vault)));
    EXPECT(!failed(dests_new(&dests)));
    struct config *config = config_of(vault, "config_version: 1\n");
    struct dest_key key = { .host = SPAN("vendor.test"), .port = 80 };
    const uint32_t trusted = dests_intern(dests, &key, why);
    key.allow = address_allow;
    key.allow_arg = &config;
    const uint32_t guarded = dests_intern(dests, &key, why);
    EXPECT(trusted != guarded); // the same place, but not the same trust
    const union dest_addr both[] = { addr_of("10.0.0.1"), addr_of("93.184.216.34") };
    union dest_addr out[DEST_ADDRS_MAX];
    enum dest_state state;
    dest_publish(dests, trusted, DEST_READY, both, 2);
    dest_publish(dests, guarded, DEST_READY, both, 2);
    EXPECT_EQ(dest_addrs(dests, trusted, &state, out), 2);
    EXPECT_EQ(dest_addrs(dests, guarded, &state, out), 1);
    EXPECT_EQ(state, DEST_READY);
    EXPECT_EQ(memcmp(&out[0], &both[1], sizeof(out[0])), 0);
    dest_publish(dests, guarded, DEST_READY, both, 1); // it resolves to a private one alone
    EXPECT_EQ(dest_addrs(dests, guarded, &state, out), 0);
    EXPECT_EQ(state, DEST_FAILED);
    key.host = SPAN("169.254.169.254");
    const uint32_t numeric = dests_intern(dests, &key, why);
    EXPECT_EQ(dest_addrs(dests, numeric, &state, out), 0);
    EXPECT_EQ(state, DEST_FAILED);
    config_free(&config);
    dests_free(&dests);
    vault_free(&vault);
}

TEST_MAIN(TEST(test_ranges), TEST(test_what_a_name_resolves_to_is_judged))
