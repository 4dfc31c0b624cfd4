-- A paced load of unique requests.
-- usage: wrk -t1 -cCONNECTIONS ... -s wrk.lua URL -- RUN CONNECTIONS RATE COUNT END [close]
--   RUN: goes into every path;  RATE: requests per second, 0 for as many as are answered;  COUNT: requests in all, 0 for
--   those until the file END is there;  close: one connection per request.
-- It ends when the last one is answered, with no request in flight, and prints one JSON line.

local ffi = require("ffi")
ffi.cdef([[
typedef struct { long seconds; long nanoseconds; } xcopy_timespec;
int clock_gettime(int clock, xcopy_timespec *time);
int getpid(void);
int kill(int pid, int signal);
]])

local moment = ffi.new("xcopy_timespec")
local function now() -- in ms
  ffi.C.clock_gettime(1, moment)
  return tonumber(moment.seconds) * 1000 + tonumber(moment.nanoseconds) / 1e6
end

local fill = {}
for index = 1, 160 do fill[index] = string.format("%08x", (index * 2654435761) % 4294967296) end
fill = table.concat(fill)

local head, middle, tail, gap, quota, ending, begun, connections
local slots, made, finished = 0, 0, 0

function init(arguments)
  local rate = tonumber(arguments[3])
  gap = rate > 0 and 1000 / rate or 0
  connections = tonumber(arguments[2])
  quota = tonumber(arguments[4])
  ending = arguments[5]
  head = "GET /" .. arguments[1] .. "-"
  middle = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\nX-Fill: "
  tail = "\r\n" .. (arguments[6] == "close" and "Connection: close\r\n" or "") .. "\r\n"
end

-- Whether the file is there that ends the load.
local function ends()
  local file = io.open(ending)
  if file then file:close() end
  return file ~= nil
end

-- Called before each request of each connection: the next free slot of the timetable, in ms from now.
function delay()
  if quota == 0 and ends() then quota = slots end
  if slots == quota and slots > 0 then
    finished = finished + 1
    -- wrk ends at SIGINT as it does after its duration.
    if finished == connections then ffi.C.kill(ffi.C.getpid(), 2) end
    return 1000000
  end
  begun = begun or now()
  local due = begun + slots * gap
  slots = slots + 1
  return math.max(0, math.floor(due - now() + 0.5))
end

function request()
  made = made + 1
  local length = made * 7 % 600
  local offset = made % 600
  return head .. made .. middle .. string.sub(fill, offset + 1, offset + length) .. tail
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.3f,"p50_us":%d,"p99_us":%d,"max_us":%d,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
