-- Add what Postgres knows of persons after a rebuild; takes that came in between have already counted themselves.
-- KEYS   1 stock: hash  2 people: hash                                                     (same {code} tag)
-- ARGV   1 epoch  2.. person, places, open holds, ...                           (at most 500 triples)
-- REPLY  {"added"} | {"other_epoch", epoch}
-- REPEAT not repeatable: one rebuild calls it once per person; a double count refuses a person whom Postgres would
--        let in, until the next rebuild
-- BOUND  O(triples)
-- KEEPS  places and open holds of a person
local epoch = redis.call('hget', KEYS[1], 'epoch') or '0'
if epoch ~= ARGV[1] then return { 'other_epoch', tonumber(epoch) } end
for i = 2, #ARGV, 3 do
  if ARGV[i + 1] ~= '0' then redis.call('hincrby', KEYS[2], 'u:' .. ARGV[i], ARGV[i + 1]) end
  if ARGV[i + 2] ~= '0' then redis.call('hincrby', KEYS[2], 'o:' .. ARGV[i], ARGV[i + 2]) end
end
return { 'added' }
