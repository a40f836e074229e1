-- Shared by the wrk scripts: what is sent comes from the environment, so that nothing has to be
-- edited to aim at a box of one's own.
--
--   PENSTOCK_KEY    the client key             (needed)
--   MODEL           the model's name           (each script has its own default)
--   BODY_BYTES      length of the request      (1024)

local common = {}

function common.env(name, otherwise)
   local value = os.getenv(name)
   if value == nil or value == "" then
      if otherwise == nil then error(name .. " is not set", 0) end
      return otherwise
   end
   return value
end

-- Text that fills a request up to BODY_BYTES, `used` of which the rest of it takes.
function common.fill(used)
   local bytes = tonumber(common.env("BODY_BYTES", "1024"))
   return string.rep("word ", math.max(1, math.floor((bytes - used) / 5)))
end

-- What wrk itself does not print: the tail, and how many answers were not 200.
function common.report(summary, latency)
   local bad = summary.errors.status + summary.errors.connect + summary.errors.read
      + summary.errors.write + summary.errors.timeout
   io.write(string.format(
      "answers %d, failed %d\nlatency p50 %.3f ms, p90 %.3f ms, p99 %.3f ms, p99.9 %.3f ms\n",
      summary.requests, bad, latency:percentile(50) / 1000, latency:percentile(90) / 1000,
      latency:percentile(99) / 1000, latency:percentile(99.9) / 1000))
end

return common
