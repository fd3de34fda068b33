/**
 * Makes fengari's Lua 5.3 behave as the Lua 5.1 that Redis runs: all numbers are
 * doubles, written as C's `%.14g`; and the names that 5.3 dropped.
 *
 * fengari's integers have 32 bits and would overflow on a time in milliseconds.
 * What reads and writes numbers in fengari is replaced once, and behaves
 * differently only while one of our scripts runs.
 *
 * **Gotchas**: `%` of numbers beyond 53 bits, and the sign of a zero that it
 * gives, are those of Lua 5.3.
 */
import { type LuaState, lauxlib, lua, lualib } from "fengari"
import lobject from "fengari/src/lobject.js"
import lstring from "fengari/src/lstring.js"
import { formatE, formatF, formatG } from "./Bytes.ts"
import { luaBytes, pushString, stringAt } from "./LuaValues.ts"

let running = false

/** Runs `body` with the numbers of Lua 5.1. */
export const withDoubles = <A>(body: () => A): A => {
  const outer = running
  running = true
  try {
    return body()
  } finally {
    running = outer
  }
}

const { luaO_str2num, luaO_tostring } = lobject

lobject.luaO_str2num = (text, into) => {
  const size = luaO_str2num(text, into)
  if (!running || size === 0 || !into.ttisinteger()) return size
  const digits = String.fromCharCode(...text.subarray(0, size - 1)).trim()
  const sign = digits.startsWith("-") ? -1 : 1
  into.setfltvalue(sign * Number(digits.replace(/^[+-]/, "")))
  return size
}

lobject.luaO_tostring = (L, value) => {
  if (!running) return luaO_tostring(L, value)
  value.setsvalue(lstring.luaS_bless(L, luaBytes(formatG(value.value, 14))))
}

const fail = (L: LuaState, message: string): never => lauxlib.luaL_error(L, luaBytes(message))

const numberAt = (L: LuaState, index: number, name: string): number => {
  const type = lua.lua_type(L, index)
  if (type === lua.LUA_TNUMBER) return lua.lua_tonumber(L, index)
  const value = type === lua.LUA_TSTRING ? lua.lua_tonumber(L, index) : Number.NaN
  if (type !== lua.LUA_TSTRING || (value === 0 && !/\d/.test(stringAt(L, index)))) {
    return fail(L, `bad argument #${index} to '${name}' (number expected)`)
  }
  return value
}

const padded = (text: string, flags: string, width: number) => {
  if (text.length >= width) return text
  if (flags.includes("-")) return text.padEnd(width)
  if (!flags.includes("0")) return text.padStart(width)
  const sign = /^[+-]/.test(text) ? text.charAt(0) : ""
  return sign + text.slice(sign.length).padStart(width - sign.length, "0")
}

/** One number by a directive of `printf`. */
const formatNumber = (kind: string, value: number, precision: number | undefined): string => {
  if (kind === "d" || kind === "i") return String(BigInt(Math.trunc(value))).padStart(precision ?? 0, "0")
  if (kind === "u") return String(BigInt.asUintN(64, BigInt(Math.trunc(value))))
  if (kind === "o") return BigInt.asUintN(64, BigInt(Math.trunc(value))).toString(8)
  if (kind === "x" || kind === "X") {
    const hex = BigInt.asUintN(64, BigInt(Math.trunc(value))).toString(16)
    return kind === "X" ? hex.toUpperCase() : hex
  }
  if (!Number.isFinite(value) || kind === "g" || kind === "G") return formatG(value, precision ?? 6)
  return kind === "f" ? formatF(value, precision ?? 6) : formatE(value, precision ?? 6)
}

const directive = /%([-+ #0]*)(\d*)(?:\.(\d*))?([a-zA-Z%])/g

/** `string.format`, whose integers are not limited to 32 bits. */
const format = (L: LuaState): number => {
  let next = 1
  const text = stringAt(L, 1).replace(
    directive,
    (_, flags: string, width: string, digits: string | undefined, kind: string) => {
      if (kind === "%") return "%"
      next += 1
      if (next > lua.lua_gettop(L)) return fail(L, `bad argument #${next} to 'format' (no value)`)
      const precision = digits === undefined ? undefined : Number(digits)
      if (kind === "s" || kind === "q") {
        const value = toText(L, next)
        return padded(kind === "q" ? JSON.stringify(value) : value.slice(0, precision), flags, Number(width))
      }
      const number = numberAt(L, next, "format")
      if (kind === "c") return String.fromCharCode(number & 255)
      if (!"diuoxXeEfgG".includes(kind)) return fail(L, `invalid option '%${kind}' to 'format'`)
      const shown = formatNumber(kind, number, precision)
      return padded(flags.includes("+") && number >= 0 ? `+${shown}` : shown, flags, Number(width))
    }
  )
  pushString(L, text)
  return 1
}

const names = new Map([
  [lua.LUA_TNIL, "nil"],
  [lua.LUA_TTABLE, "table"],
  [lua.LUA_TLIGHTUSERDATA, "userdata"]
])

const toText = (L: LuaState, index: number): string => {
  const type = lua.lua_type(L, index)
  if (type === lua.LUA_TSTRING) return stringAt(L, index)
  if (type === lua.LUA_TNUMBER) return formatG(lua.lua_tonumber(L, index), 14)
  if (type === lua.LUA_TBOOLEAN) return String(lua.lua_toboolean(L, index))
  return names.get(type) ?? "function"
}

const rounded = (name: string, round: (value: number) => number) => (L: LuaState) => {
  lua.lua_pushnumber(L, round(numberAt(L, 1, name)))
  return 1
}

/** `bit`, whose results are signed 32-bit numbers. */
const bits: Readonly<Record<string, (a: number, b: number) => number>> = {
  tobit: (a) => a | 0,
  bnot: (a) => ~a,
  band: (a, b) => a & b,
  bor: (a, b) => a | b,
  bxor: (a, b) => a ^ b,
  lshift: (a, b) => a << (b & 31),
  rshift: (a, b) => (a >>> (b & 31)) | 0,
  arshift: (a, b) => a >> (b & 31)
}

const wrap = (value: number) => Number(BigInt.asIntN(32, BigInt(Math.round(value))))

const bitFunction = (name: string, apply: (a: number, b: number) => number) => (L: LuaState) => {
  let result = wrap(numberAt(L, 1, name))
  if (lua.lua_gettop(L) === 1) result = apply(result, result)
  for (let i = 2; i <= lua.lua_gettop(L); i++) result = apply(result, wrap(numberAt(L, i, name)))
  lua.lua_pushnumber(L, result)
  return 1
}

const prelude = `
unpack = table.unpack
loadstring = load
table.getn = function(t) return #t end
table.maxn = function(t)
  local max = 0
  for k in pairs(t) do if type(k) == 'number' and k > max then max = k end end
  return max
end
math.pow = function(a, b) return a ^ b end
math.mod = math.fmod
string.gfind = string.gmatch
table.unpack, table.pack, table.move, utf8 = nil, nil, nil, nil
dofile, loadfile, print, require = nil, nil, nil, nil
`

/** A field of the table on top. */
export const setFunction = (L: LuaState, name: string, run: (L: LuaState) => number) => {
  lua.lua_pushcfunction(L, run)
  lua.lua_setfield(L, -2, luaBytes(name))
}

const extend = (L: LuaState, table: string, functions: Readonly<Record<string, (L: LuaState) => number>>) => {
  if (lua.lua_getglobal(L, luaBytes(table)) !== lua.LUA_TTABLE) {
    lua.lua_pop(L, 1)
    lua.lua_createtable(L, 0, 8)
  }
  for (const [name, run] of Object.entries(functions)) setFunction(L, name, run)
  lua.lua_setglobal(L, luaBytes(table))
}

/** Runs trusted Lua of ours, for set-up. */
export const runPrelude = (L: LuaState, source: string) => {
  const code = luaBytes(source)
  const failed =
    lauxlib.luaL_loadbuffer(L, code, code.length, luaBytes("=prelude")) !== lua.LUA_OK ||
    lua.lua_pcall(L, 0, 0, 0) !== lua.LUA_OK
  if (failed) throw new Error(`the Lua machine could not be set up: ${stringAt(L, -1)}`)
}

/** A fresh machine with the libraries that scripts have in Redis. */
export const makeState = (): LuaState => {
  const L = lauxlib.luaL_newstate()
  const libraries = {
    _G: lualib.luaopen_base,
    string: lualib.luaopen_string,
    table: lualib.luaopen_table,
    math: lualib.luaopen_math
  }
  for (const [name, open] of Object.entries(libraries)) {
    lauxlib.luaL_requiref(L, luaBytes(name), open, 1)
    lua.lua_pop(L, 1)
  }
  runPrelude(L, prelude)
  extend(L, "math", { floor: rounded("floor", Math.floor), ceil: rounded("ceil", Math.ceil) })
  extend(L, "string", { format })
  extend(
    L,
    "bit",
    Object.fromEntries(Object.entries(bits).map(([name, apply]) => [name, bitFunction(name, apply)]))
  )
  lua.lua_pushcfunction(L, (state) => {
    pushString(state, toText(state, 1))
    return 1
  })
  lua.lua_setglobal(L, luaBytes("tostring"))
  return L
}
