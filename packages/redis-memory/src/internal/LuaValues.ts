/**
 * Between replies and Lua values, by Redis' rules: numbers are cut to integers
 * on the way out, nil and false are the same nothing.
 */
import { type LuaState, lua } from "fengari"
import { formatG } from "./Bytes.ts"
import {
  Double,
  Failure,
  Members,
  NilList,
  Pairs,
  type Reply,
  Scored,
  Silent,
  Status,
  Streams,
  Verbatim
} from "./Reply.ts"

/** A byte string as fengari wants it. */
export const luaBytes = (bytes: string): Uint8Array => Buffer.from(bytes, "latin1")

export const pushString = (L: LuaState, bytes: string) => {
  const value = luaBytes(bytes)
  lua.lua_pushlstring(L, value, value.length)
}

/** The byte string at `index`, which holds a string. */
export const stringAt = (L: LuaState, index: number): string => {
  const value = lua.lua_tolstring(L, index)
  return value === null ? "" : Buffer.from(value.buffer, value.byteOffset, value.length).toString("latin1")
}

const setField = (L: LuaState, name: string, value: string) => {
  pushString(L, value)
  lua.lua_setfield(L, -2, luaBytes(name))
}

/** A table with one field, which is how errors and status lines look to a script. */
export const pushLine = (L: LuaState, field: "err" | "ok", text: string) => {
  lua.lua_createtable(L, 0, 1)
  setField(L, field, text)
}

const pushList = (L: LuaState, items: ReadonlyArray<Reply>) => {
  lua.lua_checkstack(L, 4)
  lua.lua_createtable(L, items.length, 0)
  items.forEach((item, i) => {
    pushReply(L, item)
    lua.lua_rawseti(L, -2, i + 1)
  })
}

/** The text of a reply that is one for a script. */
const textOf = (reply: Reply): string | undefined => {
  if (typeof reply === "string") return reply
  if (reply instanceof Double) return formatG(reply.value, 17)
  return reply instanceof Verbatim ? reply.text : undefined
}

/** The items of a reply that is a list for a script. */
const itemsOf = (reply: Reply): ReadonlyArray<Reply> => {
  if (reply instanceof Pairs) return reply.flat
  if (reply instanceof Streams) return reply.entries
  if (reply instanceof Scored) return reply.pairs.flatMap(([member, score]) => [member, formatG(score, 17)])
  if (reply instanceof Members) return reply.items
  return Array.isArray(reply) ? reply : []
}

/** Puts a reply on the stack as a script sees it under RESP2. */
export const pushReply = (L: LuaState, reply: Reply) => {
  const text = textOf(reply)
  if (text !== undefined) pushString(L, text)
  else if (typeof reply === "number" || typeof reply === "bigint") lua.lua_pushnumber(L, Number(reply))
  else if (reply === null || reply instanceof NilList || reply instanceof Silent)
    lua.lua_pushboolean(L, false)
  else if (reply instanceof Status) pushLine(L, "ok", reply.text)
  else if (reply instanceof Failure) pushLine(L, "err", reply.message)
  else pushList(L, itemsOf(reply))
}

/** The string in a field of the table on top, if there is one. */
export const fieldOf = (L: LuaState, name: string): string | undefined => {
  const type = lua.lua_getfield(L, -1, luaBytes(name))
  const value = type === lua.LUA_TSTRING ? stringAt(L, -1) : undefined
  lua.lua_pop(L, 1)
  return value
}

/** A line may not contain what ends it. */
const oneLine = (text: string) => text.replace(/[\r\n]/g, " ")

/** Takes the value on top off the stack, as the reply that it means. */
export const popReply = (L: LuaState): Reply => {
  const reply = replyOnTop(L)
  lua.lua_pop(L, 1)
  return reply
}

const replyOnTop = (L: LuaState): Reply => {
  switch (lua.lua_type(L, -1)) {
    case lua.LUA_TSTRING:
      return stringAt(L, -1)
    case lua.LUA_TNUMBER:
      return toInteger(lua.lua_tonumber(L, -1))
    case lua.LUA_TBOOLEAN:
      return lua.lua_toboolean(L, -1) ? 1 : null
    case lua.LUA_TTABLE:
      return tableReply(L)
    default:
      return null
  }
}

/** Cut to 64 bits; what does not fit is the smallest integer, as a conversion in C has it. */
const toInteger = (value: number): number | bigint => {
  if (Math.abs(value) < 2 ** 63) return Math.trunc(value) || 0
  return -(2n ** 63n)
}

const tableReply = (L: LuaState): Reply => {
  const err = fieldOf(L, "err")
  if (err !== undefined) return new Failure(oneLine(err))
  const ok = fieldOf(L, "ok")
  if (ok !== undefined) return new Status(oneLine(ok))
  const items: Array<Reply> = []
  lua.lua_checkstack(L, 4)
  for (let i = 1; lua.lua_rawgeti(L, -1, i) !== lua.LUA_TNIL; i++) items.push(popReply(L))
  lua.lua_pop(L, 1)
  return items
}
