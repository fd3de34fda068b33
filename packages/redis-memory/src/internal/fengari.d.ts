/** The part of fengari that the Lua machine uses; the package brings no types. */
declare module "fengari" {
  /** A Lua thread; what is on its stack is addressed by index. */
  export interface LuaState {
    readonly luaState: unique symbol
  }
  export type LuaFunction = (L: LuaState) => number
  interface Debug {
    source: Uint8Array | null
    what: Uint8Array | null
    currentline: number
  }
  interface Lua {
    readonly LUA_OK: number
    readonly LUA_REGISTRYINDEX: number
    readonly LUA_MASKCOUNT: number
    readonly LUA_TNIL: number
    readonly LUA_TBOOLEAN: number
    readonly LUA_TLIGHTUSERDATA: number
    readonly LUA_TNUMBER: number
    readonly LUA_TSTRING: number
    readonly LUA_TTABLE: number
    readonly lua_Debug: new () => Debug
    lua_checkstack(L: LuaState, size: number): boolean
    lua_createtable(L: LuaState, items: number, fields: number): void
    lua_error(L: LuaState): never
    lua_getfield(L: LuaState, index: number, key: Uint8Array): number
    lua_getglobal(L: LuaState, key: Uint8Array): number
    lua_getinfo(L: LuaState, what: Uint8Array, debug: Debug): number
    lua_getstack(L: LuaState, level: number, debug: Debug): number
    lua_gettop(L: LuaState): number
    lua_next(L: LuaState, index: number): number
    lua_pcall(L: LuaState, args: number, results: number, handler: number): number
    lua_pop(L: LuaState, count: number): void
    lua_pushboolean(L: LuaState, value: boolean): void
    lua_pushcfunction(L: LuaState, run: LuaFunction): void
    lua_pushlightuserdata(L: LuaState, value: object): void
    lua_pushlstring(L: LuaState, value: Uint8Array, length: number): void
    lua_pushnil(L: LuaState): void
    lua_pushnumber(L: LuaState, value: number): void
    lua_pushvalue(L: LuaState, index: number): void
    lua_rawgeti(L: LuaState, index: number, key: number): number
    lua_rawset(L: LuaState, index: number): void
    lua_rawseti(L: LuaState, index: number, key: number): void
    lua_remove(L: LuaState, index: number): void
    lua_setfield(L: LuaState, index: number, key: Uint8Array): void
    lua_sethook(L: LuaState, hook: (L: LuaState) => void, mask: number, count: number): void
    lua_setglobal(L: LuaState, key: Uint8Array): void
    lua_settop(L: LuaState, index: number): void
    lua_toboolean(L: LuaState, index: number): boolean
    lua_tolstring(L: LuaState, index: number): Uint8Array | null
    lua_tonumber(L: LuaState, index: number): number
    lua_touserdata(L: LuaState, index: number): unknown
    lua_type(L: LuaState, index: number): number
    lua_upvalueindex(index: number): number
  }
  interface LuaAuxiliary {
    luaL_error(L: LuaState, message: Uint8Array): never
    luaL_loadbuffer(L: LuaState, source: Uint8Array, size: number, name: Uint8Array): number
    luaL_newstate(): LuaState
    luaL_ref(L: LuaState, table: number): number
    luaL_unref(L: LuaState, table: number, ref: number): void
    luaL_requiref(L: LuaState, name: Uint8Array, open: LuaFunction, global: number): void
  }
  interface LuaLibraries {
    readonly luaopen_base: LuaFunction
    readonly luaopen_string: LuaFunction
    readonly luaopen_table: LuaFunction
    readonly luaopen_math: LuaFunction
  }
  export const lua: Lua
  export const lauxlib: LuaAuxiliary
  export const lualib: LuaLibraries
}

declare module "fengari/src/lobject.js" {
  interface TValue {
    value: number
    ttisinteger(): boolean
    setfltvalue(value: number): void
    setsvalue(value: object): void
  }
  const lobject: {
    luaO_str2num(text: Uint8Array, into: TValue): number
    luaO_tostring(L: import("fengari").LuaState, value: TValue): void
  }
  export default lobject
}

declare module "fengari/src/lstring.js" {
  const lstring: {
    luaS_bless(L: import("fengari").LuaState, text: Uint8Array): object
  }
  export default lstring
}
