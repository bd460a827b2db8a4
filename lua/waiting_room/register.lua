-- Put numbers back that Redis has lost, from tokens that their owners hold.
-- KEYS   1 room: hash  2.. num: packed u32 numbers by device index, one key per segment; devices: int per epoch
--                                                                                                      (same {code} tag)
-- ARGV   1 run  2.. per device: index into KEYS of its segment, place within the segment, number, index into KEYS of
--        its epoch's devices, device index                                                       (at most 256 devices)
-- REPLY  {"registered"} | {"other_run", run} | {"unready"}
-- REPEAT changes nothing: a number that is there stays
-- BOUND  O(devices)
-- KEEPS  one device has one number per lane and run; devices is above every index that has a number
local run = redis.call('hget', KEYS[1], 'run')
if not run then return { 'unready' } end
if run ~= ARGV[1] then return { 'other_run', tonumber(run) } end
for i = 2, #ARGV, 5 do
  local key, at = KEYS[tonumber(ARGV[i])], tonumber(ARGV[i + 1]) * 4
  local packed = redis.call('getrange', key, at, at + 3)
  if #packed < 4 or struct.unpack('>I4', packed) == 0 then
    redis.call('setrange', key, at, struct.pack('>I4', tonumber(ARGV[i + 2])))
  end
  -- The draw looks for owners only among devices that are known to be leased.
  local devices, leased = KEYS[tonumber(ARGV[i + 3])], tonumber(ARGV[i + 4]) + 1
  if tonumber(redis.call('get', devices) or '0') < leased then redis.call('set', devices, leased) end
end
return { 'registered' }
