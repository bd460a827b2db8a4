-- Give numbers to devices of one lane; a device that has one keeps it.
-- KEYS   1 room: hash  2 seq: int  3.. num: packed u32 numbers by device index, one key per segment   (same {code} tag)
-- ARGV   1 run  2 epoch  3 now_ms  4 highest number the caller has ever seen in this lane
--        5.. per device: index into KEYS of its segment, place within the segment        (at most 128 devices)
-- REPLY  {"joined", number, 1 if it had one already else 0, number, ...}
--        | {"closed", phase, number, 1, ...} | {"later", reopen_ms, number, 1, ...}: those who had numbers come first; of whoever
--        is refused for it the number is 0
--        | {"other_epoch", epoch} | {"other_run", run} | {"behind", seq}: Redis has lost numbers that were given out | {"unready"}
-- REPEAT the same device gets the same number
-- BOUND  O(devices)
-- KEEPS  no number is given twice; one device has one number per lane and run
local room = redis.call('hmget', KEYS[1], 'phase', 'run', 'epoch', 'reopen_ms')
local seq = tonumber(redis.call('get', KEYS[2]) or '-1')
if not room[1] or not room[2] or seq < 0 then return { 'unready' } end
if room[2] ~= ARGV[1] then return { 'other_run', tonumber(room[2]) } end
if room[3] ~= ARGV[2] then return { 'other_epoch', tonumber(room[3]) } end
if seq < tonumber(ARGV[4]) then return { 'behind', seq } end
local phase = room[1]
local open = phase == 'prequeue' or phase == 'frozen' or phase == 'open' or phase == 'paused'
local later = tonumber(room[4] or '0') > tonumber(ARGV[3])
local refusal = not open and { 'closed', phase } or later and { 'later', tonumber(room[4]) } or nil
local numbers, refused = {}, false
for i = 5, #ARGV, 2 do
  local key, at = KEYS[tonumber(ARGV[i])], tonumber(ARGV[i + 1]) * 4
  local packed = redis.call('getrange', key, at, at + 3)
  local number, had = 0, 1
  if #packed == 4 then number = struct.unpack('>I4', packed) end
  if number == 0 then
    had = 0
    if refusal then
      refused = true
    else
      number = redis.call('incr', KEYS[2])
      redis.call('setrange', key, at, struct.pack('>I4', number))
    end
  end
  numbers[#numbers + 1] = number
  numbers[#numbers + 1] = had
end
local reply = refused and refusal or { 'joined' }
for i = 1, #numbers do reply[#reply + 1] = numbers[i] end
return reply
