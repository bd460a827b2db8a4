-- Read the free places and the takes in flight of an exhibition at one instant.
-- KEYS   1 stock: hash  2 flight: hash                                                     (same {code} tag)
-- ARGV   1 'all', or 'free' to leave the takes in flight out
-- REPLY  {"levels", {field, value, ...}, {hold id, record, ...}} | {"unready"}
-- REPEAT reads only
-- BOUND  O(stocks + takes in flight)
-- KEEPS  everything
if redis.call('hexists', KEYS[1], 'epoch') == 0 then return { 'unready' } end
return { 'levels', redis.call('hgetall', KEYS[1]), ARGV[1] == 'all' and redis.call('hgetall', KEYS[2]) or {} }
