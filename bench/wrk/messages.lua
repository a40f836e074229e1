-- Whole answers over the Anthropic messages route.
--
--   PENSTOCK_KEY=... wrk -t2 -c64 -d30s -s bench/wrk/messages.lua http://127.0.0.1:8080
package.path = (debug.getinfo(1, "S").source:match("@(.*/)") or "./") .. "?.lua;" .. package.path
local common = require("common")

wrk.method = "POST"
wrk.path = "/v1/messages"
wrk.headers["content-type"] = "application/json"
wrk.headers["anthropic-version"] = "2023-06-01"
wrk.headers["x-api-key"] = common.env("PENSTOCK_KEY")
wrk.body = string.format(
   '{"model":"%s","max_tokens":256,"messages":[{"role":"user","content":"%s"}]}',
   common.env("MODEL", "mock-claude"), common.fill(110))

function done(summary, latency) common.report(summary, latency) end
