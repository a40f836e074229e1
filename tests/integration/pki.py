"""A throwaway certificate authority: openssl makes it, and what it signs, in a folder of the test."""

import datetime
import os
import ssl
import subprocess

AUTHORITY = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n"
SERVER = "basicConstraints=critical,CA:false\nextendedKeyUsage=serverAuth\n"
CONFIG = """
[ca]
default_ca=it
[it]
database={folder}/index
new_certs_dir={folder}
rand_serial=yes
default_md=sha256
policy=any
unique_subject=no
copy_extensions=none
[any]
commonName=supplied
"""


def run(*args):
    done = subprocess.run(["openssl", *args], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"openssl {' '.join(args)}:\n{done.stderr}")
    return done.stdout


class Certificate:
    """A certificate with its key: files `cert`, `key`, and `chain` (without the root)."""

    def __init__(self, folder, name):
        self.name = name
        self.cert, self.key, self.chain = (os.path.join(folder, f"{name}.{kind}")
                                           for kind in ("crt", "key", "chain"))

    def text(self):
        with open(self.cert, encoding="ascii") as file:
            return file.read()

    def server(self, **settings):
        """A context that serves it; settings are attributes of ssl.SSLContext, or ciphers="..."."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ciphers = settings.pop("ciphers", None)
        if ciphers:
            context.set_ciphers(ciphers)
        for name, value in settings.items():
            setattr(context, name, value)
        context.load_cert_chain(self.chain, self.key)
        return context


class Authority:
    """Roots and what they sign. `root` is the one to trust."""

    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "openssl.conf"), "w", encoding="ascii") as file:
            file.write(CONFIG.format(folder=folder))
        open(os.path.join(folder, "index"), "w", encoding="ascii").close()
        self.root = self.make("root", extensions=AUTHORITY)

    def make(self, name, issuer=None, subject=None, days=(-1, 30), key="ec", extensions=None,
             names="DNS:localhost,IP:127.0.0.1"):
        """Signed by `issuer`, or by itself; valid from days[0] to days[1], counted from now."""
        made = Certificate(self.folder, name)
        kind = (["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else
                ["rsa", "-pkeyopt", f"rsa_keygen_bits:{key}"])
        request, extra = made.cert + ".csr", made.cert + ".ext"
        run("req", "-newkey", *kind, "-nodes", "-keyout", made.key, "-out", request, "-subj",
            f"/CN={subject or name}", "-batch")
        with open(extra, "w", encoding="ascii") as file:
            file.write(extensions if extensions is not None else
                       SERVER + (f"subjectAltName={names}\n" if names else ""))
        now = datetime.datetime.now(datetime.timezone.utc)
        start, end = ((now + datetime.timedelta(days=day)).strftime("%Y%m%d%H%M%SZ") for day in days)
        signer = (["-selfsign", "-keyfile", made.key] if issuer is None else
                  ["-cert", issuer.cert, "-keyfile", issuer.key])
        run("ca", "-config", os.path.join(self.folder, "openssl.conf"), "-batch", "-notext", "-in",
            request, "-out", made.cert, "-extfile", extra, "-startdate", start, "-enddate", end, *signer)
        with open(made.chain, "w", encoding="ascii") as file:
            file.write(made.text())
            if issuer is not None and issuer is not self.root:
                with open(issuer.chain, encoding="ascii") as above:
                    file.write(above.read())
        return made

    def client(self, **settings):
        """A context that trusts the root and nothing else."""
        context = ssl.create_default_context(cafile=self.root.cert)
        for name, value in settings.items():
            setattr(context, name, value)
        return context


def careless():
    """A client's context that takes whatever it is offered: the proof that a server works at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    return context
