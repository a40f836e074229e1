-- Whole answers over the OpenAI chat route.
--
--   PENSTOCK_KEY=... wrk -t2 -c64 -d30s -s bench/wrk/chat.lua http://127.0.0.1:8080
--
-- wrk sends the next request when the last was answered: read the rate and the errors from it, not
-- latency under load. For that, penstock-load --mode open or the k6 script.
package.path = (debug.getinfo(1, "S").source:match("@(.*/)") or "./") .. "?.lua;" .. package.path
local common = require("common")

wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer " .. common.env("PENSTOCK_KEY")
wrk.body = string.format('{"model":"%s","messages":[{"role":"user","content":"%s"}]}',
   common.env("MODEL", "mock-chat"), common.fill(90))

function done(summary, latency) common.report(summary, latency) end
