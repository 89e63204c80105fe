-- For wrk: GETs of many paths in turn, so that no single file or key stays in a cache that others
-- would share. Argument: a file of the paths, one a line. The requests are written once; picking
-- one costs next to nothing, and the same for both sides.
local requests, at = {}, 0

function init(args)
   for path in io.lines(args[1]) do
      requests[#requests + 1] = wrk.format("GET", path)
   end
   at = math.random(#requests)
end

function request()
   at = at % #requests + 1
   return requests[at]
end
