-- Streams over the OpenAI chat route, each read to its end. One "request" is one whole stream.
--
--   PENSTOCK_KEY=... wrk -t2 -c500 -d30s --timeout 60s -s bench/wrk/stream.lua http://127.0.0.1:8080
--
-- wrk sees only when a stream is over; for the delay of single events, penstock-load --mode stream.
package.path = (debug.getinfo(1, "S").source:match("@(.*/)") or "./") .. "?.lua;" .. package.path
local common = require("common")

wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer " .. common.env("PENSTOCK_KEY")
wrk.body = string.format(
   '{"model":"%s","stream":true,"messages":[{"role":"user","content":"%s"}]}',
   common.env("MODEL", "mock-chat"), common.fill(105))

function done(summary, latency) common.report(summary, latency) end
