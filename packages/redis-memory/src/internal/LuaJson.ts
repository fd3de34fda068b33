/** `cjson` for scripts: JSON to Lua values and back. */
import { type LuaState, lauxlib, lua } from "fengari"
import { formatG, fromBytes, toBytes } from "./Bytes.ts"
import { setFunction } from "./Lua51.ts"
import { luaBytes, pushString, stringAt } from "./LuaValues.ts"

/** `cjson.null`: nothing, as opposed to no field. */
const nothing = {}

const deepest = 1000

const fail = (L: LuaState, message: string): never => lauxlib.luaL_error(L, luaBytes(message))

const push = (L: LuaState, value: unknown, depth: number) => {
  if (depth > deepest) fail(L, `Found too many nested data structures (${depth})`)
  lua.lua_checkstack(L, 6)
  if (typeof value === "string") pushString(L, toBytes(value))
  else if (typeof value === "number") lua.lua_pushnumber(L, value)
  else if (typeof value === "boolean") lua.lua_pushboolean(L, value)
  else if (Array.isArray(value)) pushItems(L, value, depth)
  else if (typeof value === "object" && value !== null) pushFields(L, value, depth)
  else lua.lua_pushlightuserdata(L, nothing)
}

const pushItems = (L: LuaState, items: ReadonlyArray<unknown>, depth: number) => {
  lua.lua_createtable(L, items.length, 0)
  items.forEach((item, i) => {
    push(L, item, depth + 1)
    lua.lua_rawseti(L, -2, i + 1)
  })
}

const pushFields = (L: LuaState, fields: object, depth: number) => {
  lua.lua_createtable(L, 0, 8)
  for (const [name, item] of Object.entries(fields)) {
    pushString(L, toBytes(name))
    push(L, item, depth + 1)
    lua.lua_rawset(L, -3)
  }
}

const decode = (L: LuaState): number => {
  const text = fromBytes(stringAt(L, 1))
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return fail(L, `Expected value but found invalid token: ${error instanceof Error ? error.message : text}`)
  }
  push(L, value, 0)
  return 1
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what JSON must escape
const special = /["\\/\x00-\x1f\x7f]/g

const escapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "/": "\\/",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t"
}

const quote = (bytes: string) =>
  `"${bytes.replace(special, (char) => escapes[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`)}"`

const numberText = (L: LuaState, value: number) =>
  Number.isFinite(value) ? formatG(value, 14) : fail(L, "Cannot serialise number: must not be NaN or Inf")

/** The value on top as JSON; stays on the stack. */
const encodeTop = (L: LuaState, depth: number): string => {
  if (depth > deepest) return fail(L, `Cannot serialise, excessive depth (${depth})`)
  switch (lua.lua_type(L, -1)) {
    case lua.LUA_TSTRING:
      return quote(stringAt(L, -1))
    case lua.LUA_TNUMBER:
      return numberText(L, lua.lua_tonumber(L, -1))
    case lua.LUA_TBOOLEAN:
      return String(lua.lua_toboolean(L, -1))
    case lua.LUA_TTABLE:
      return encodeTable(L, depth)
    case lua.LUA_TNIL:
    case lua.LUA_TLIGHTUSERDATA:
      return "null"
    default:
      return fail(L, "Cannot serialise function: type not supported")
  }
}

const encodeTable = (L: LuaState, depth: number): string => {
  lua.lua_checkstack(L, 6)
  const items: Array<string> = []
  const fields: Array<string> = []
  let largest = 0
  lua.lua_pushnil(L)
  while (lua.lua_next(L, -2) !== 0) {
    const value = encodeTop(L, depth + 1)
    if (lua.lua_type(L, -2) === lua.LUA_TNUMBER) {
      const key = lua.lua_tonumber(L, -2)
      if (Number.isInteger(key) && key >= 1) {
        items[key - 1] = value
        largest = Math.max(largest, key)
      }
      fields.push(`"${formatG(key, 14)}":${value}`)
    } else {
      fields.push(`${quote(stringAt(L, -2))}:${value}`)
      largest = Number.NaN
    }
    lua.lua_pop(L, 1)
  }
  if (!(largest > 0) || Number.isNaN(largest)) return `{${fields.join(",")}}`
  return `[${Array.from(items, (item) => item ?? "null").join(",")}]`
}

const encode = (L: LuaState): number => {
  lua.lua_settop(L, 1)
  pushString(L, encodeTop(L, 0))
  return 1
}

/** Makes `cjson` known to scripts. */
export const openJson = (L: LuaState) => {
  lua.lua_createtable(L, 0, 3)
  setFunction(L, "decode", decode)
  setFunction(L, "encode", encode)
  lua.lua_pushlightuserdata(L, nothing)
  lua.lua_setfield(L, -2, luaBytes("null"))
  lua.lua_setglobal(L, luaBytes("cjson"))
}
