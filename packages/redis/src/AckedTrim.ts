/**
 * Trimming a stream by what its groups have acknowledged: an entry goes when
 * every group has read and acked it, and never before. A limit on length would
 * lose what a consumer that is down has not seen.
 *
 * The rule exists twice, as `script` for Redis and as `cut`, a function over
 * plain values; one property drives both.
 */
import { Redis } from "effect/persistence"

/** A consumer group's position. */
export interface GroupState {
  /** The newest entry that was handed out; `0-0` when none was. */
  readonly lastDelivered: string
  /** The oldest entry that was handed out and not acked. */
  readonly oldestPending: string | undefined
}

/** Trims and answers how many entries went; at least the newest `keep` stay. */
export const script = Redis.script((stream: string, keep: number) => [stream, keep], {
  numberOfKeys: 1,
  lua: `
local function parts(id)
  local dash = string.find(id, '-', 1, true)
  return string.sub(id, 1, dash - 1), string.sub(id, dash + 1)
end
local function shorter(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end
local function before(a, b)
  local am, as = parts(a)
  local bm, bs = parts(b)
  if am ~= bm then return shorter(am, bm) end
  return shorter(as, bs)
end
local function after(id)
  local ms, seq = parts(id)
  local n = tonumber(seq)
  if n >= 9007199254740991 then return id end
  return ms .. '-' .. string.format('%.0f', n + 1)
end
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err or #groups == 0 then return 0 end
local cut
for _, group in ipairs(groups) do
  local name, pending, last
  for i = 1, #group, 2 do
    if group[i] == 'name' then name = group[i + 1] end
    if group[i] == 'pending' then pending = group[i + 1] end
    if group[i] == 'last-delivered-id' then last = group[i + 1] end
  end
  local limit
  if pending > 0 then
    limit = redis.call('XPENDING', KEYS[1], name)[2]
  else
    limit = after(last)
  end
  if not cut or before(limit, cut) then cut = limit end
end
local keep = tonumber(ARGV[1])
if keep > 0 then
  local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', keep)
  if #newest > 0 and before(newest[#newest][1], cut) then cut = newest[#newest][1] end
end
return redis.call('XTRIM', KEYS[1], 'MINID', cut)`
}).withReturnType<number>()

const parts = (id: string): readonly [bigint, bigint] => {
  const [ms = "0", seq = "0"] = id.split("-")
  return [BigInt(ms), BigInt(seq)]
}

/** Orders entry ids as Redis does: negative when `a` is the older one. */
export const compareIds = (a: string, b: string): number => {
  const [am, as] = parts(a)
  const [bm, bs] = parts(b)
  return am === bm ? (as < bs ? -1 : as > bs ? 1 : 0) : am < bm ? -1 : 1
}

/** The script adds in doubles, so the last exact integer is where it stops counting. */
const after = (id: string) => {
  const [ms, seq] = parts(id)
  return seq >= BigInt(Number.MAX_SAFE_INTEGER) ? id : `${ms}-${seq + 1n}`
}

/** The script's twin: what stays of the entries (ids, oldest first). */
export const cut = (
  entries: ReadonlyArray<string>,
  groups: ReadonlyArray<GroupState>,
  keep: number
): ReadonlyArray<string> => {
  const limits = groups.map((group) => group.oldestPending ?? after(group.lastDelivered))
  const oldest = [...limits].sort(compareIds)[0]
  if (oldest === undefined) return entries
  return entries.filter((id, index) => compareIds(id, oldest) >= 0 || index >= entries.length - keep)
}
