-- Tell the others what this process did in the last seconds, and hear of them.
-- KEYS   1 pulses: hash, process -> "at_ms|picture"
-- ARGV   1 now_ms  2 process  3 picture  4 keep_ms
-- REPLY  {"ok", process, "at_ms|picture", ...}
-- REPEAT writes the same picture again
-- BOUND  O(processes)
-- KEEPS  processes that were not heard of for keep_ms are forgotten; the key goes when nobody tells
local now_ms, keep_ms = tonumber(ARGV[1]), tonumber(ARGV[4])
redis.call('hset', KEYS[1], ARGV[2], ARGV[1] .. '|' .. ARGV[3])
redis.call('pexpire', KEYS[1], keep_ms)
local reply = { 'ok' }
local all = redis.call('hgetall', KEYS[1])
for i = 1, #all, 2 do
  local at_ms = tonumber(string.match(all[i + 1], '^(%-?%d+)|'))
  if at_ms == nil or at_ms + keep_ms < now_ms then
    redis.call('hdel', KEYS[1], all[i])
  else
    reply[#reply + 1] = all[i]
    reply[#reply + 1] = all[i + 1]
  end
end
return reply
