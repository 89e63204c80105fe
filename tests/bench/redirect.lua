-- For wrk: GETs of many paths in turn, PREFIX0000 and so on, so that no single file or key
-- stays in a cache that others would share. Arguments: PREFIX COUNT. The requests are written
-- once; picking one costs next to nothing, and the same for both sides.
local requests, at = {}, 0

function init(args)
   for n = 0, tonumber(args[2]) - 1 do
      requests[n + 1] = wrk.format("GET", string.format("%s%04d", args[1], n))
   end
   at = math.random(#requests)
end

function request()
   at = at % #requests + 1
   return requests[at]
end
