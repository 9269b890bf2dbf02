-- wrk's side: one JSON body per request, each with a key of its own.
-- arguments: token, run, events (0: a single call), verb, file of organizations' ids
local token, run, events, verb
local organizations = {}
local sent = 0

function init(args)
  token, run, events, verb = args[1], args[2], tonumber(args[3]), args[4]
  for line in io.lines(args[5]) do organizations[#organizations + 1] = line end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. token
end

local function one(organization)
  sent = sent + 1
  local body = '{"organization":"' .. organization .. '","meter":"ai_queries","amount":1'
  if verb == "check" then return body .. "}" end
  local kind = events > 0 and ',"type":"' .. verb .. '"' or ""
  return body .. kind .. ',"idempotency_key":"' .. run .. "-" .. sent .. '"}'
end

function request()
  if events == 0 then
    return wrk.format(nil, nil, nil, one(organizations[sent % #organizations + 1]))
  end
  local list = {}
  for i = 1, events do list[i] = one(organizations[sent % #organizations + 1]) end
  return wrk.format(nil, nil, nil, '{"events":[' .. table.concat(list, ",") .. "]}")
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"microseconds":%d,"errors":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
