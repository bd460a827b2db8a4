-- Tell Redis of a room as Postgres has it: the one key that take, join and claim look at.
-- KEYS   1 room: hash  2 seq general: int  3 seq invited: int  4 serve: hash lane -> serving rank     (same {code} tag)
-- ARGV   1 run  2 epoch  3 revision  4 general numbers begin after  5 invited numbers begin after
--        6 general serving  7 invited serving  8 joins open again at [ms], or later if that was told in this epoch
--        9.. field, value, ...                                                                      (at most 16 pairs)
-- REPLY  {"set"} | {"older"}: somebody else has told something newer
-- REPEAT the same again changes nothing
-- BOUND  O(fields)
-- KEEPS  run, epoch and revision only rise; within a run numbers and serving ranks only rise
local known = redis.call('hmget', KEYS[1], 'run', 'epoch', 'revision', 'reopen_ms')
if known[1] then
  for i = 1, 3 do
    local ours, theirs = tonumber(ARGV[i]), tonumber(known[i])
    if ours < theirs then return { 'older' } end
    if ours > theirs then break end
  end
end
-- Numbers are given out only where these keys are: a run or an epoch begins here.
if not known[1] or known[1] ~= ARGV[1] then
  redis.call('unlink', KEYS[2], KEYS[3], KEYS[4])
end
for lane = 0, 1 do
  local seq = tonumber(redis.call('get', KEYS[2 + lane]) or '-1')
  if seq < tonumber(ARGV[4 + lane]) then redis.call('set', KEYS[2 + lane], ARGV[4 + lane]) end
  local serving = tonumber(redis.call('hget', KEYS[4], lane) or '-1')
  if serving < tonumber(ARGV[6 + lane]) then redis.call('hset', KEYS[4], lane, ARGV[6 + lane]) end
end
-- Whoever has a number comes first until then, whatever an admin changes meanwhile.
local reopen = ARGV[8]
if known[1] ~= ARGV[1] or known[2] ~= ARGV[2] then
  redis.call('hset', KEYS[1], 'restored', 0)
elseif tonumber(known[4] or '0') > tonumber(reopen) then
  reopen = known[4]
end
redis.call('hset', KEYS[1], 'run', ARGV[1], 'epoch', ARGV[2], 'revision', ARGV[3], 'reopen_ms', reopen, unpack(ARGV, 9))
return { 'set' }
