/**
 * Scripts as Redis runs them: compiled once, called with KEYS and ARGV, alone
 * while they run, with `redis.call` into the same table of commands.
 */
import { createHash } from "node:crypto"
import { type LuaState, lauxlib, lua } from "fengari"
import { formatG } from "./Bytes.ts"
import { makeState, runPrelude, setFunction, withDoubles } from "./Lua51.ts"
import { openJson } from "./LuaJson.ts"
import { fieldOf, luaBytes, popReply, pushLine, pushReply, pushString, stringAt } from "./LuaValues.ts"
import { type Args, type Context, find, type Scripts } from "./Machine.ts"
import { Failure, type Reply } from "./Reply.ts"

/** A script that runs longer than this many instructions is an endless loop. */
const mostInstructions = 200_000_000
const hookEvery = 1_000_000

const sha1 = (bytes: string) => createHash("sha1").update(bytes, "latin1").digest("hex")

/** Reading or writing a global that is not there is a mistake in a script. */
const guard = `
setmetatable(_G, {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
  __newindex = function() error("Attempt to modify a readonly table", 2) end
})
setmetatable = setmetatable
`

interface Compiled {
  readonly ref: number
  readonly source: string
}

export class LuaScripts implements Scripts {
  readonly #L = makeState()
  readonly #compiled = new Map<string, Compiled>()
  #context: Context | undefined

  constructor() {
    openJson(this.#L)
    this.#openRedis()
    runPrelude(this.#L, guard)
  }

  has(sha: string) {
    return this.#compiled.has(sha)
  }

  load(source: string): string {
    const sha = sha1(source)
    if (this.#compiled.has(sha)) return sha
    const L = this.#L
    const code = luaBytes(source.replace(/^#![^\n]*/, ""))
    const status = withDoubles(() => lauxlib.luaL_loadbuffer(L, code, code.length, luaBytes("@user_script")))
    if (status !== lua.LUA_OK) {
      const message = stringAt(L, -1)
      lua.lua_pop(L, 1)
      throw new Failure(`ERR Error compiling script (new function): ${message}`)
    }
    this.#compiled.set(sha, { ref: lauxlib.luaL_ref(L, lua.LUA_REGISTRYINDEX), source })
    return sha
  }

  flush() {
    for (const { ref } of this.#compiled.values()) lauxlib.luaL_unref(this.#L, lua.LUA_REGISTRYINDEX, ref)
    this.#compiled.clear()
  }

  run(context: Context, sha: string, keys: Args, args: Args): Reply {
    const compiled = this.#compiled.get(sha)
    if (compiled === undefined) throw new Failure("NOSCRIPT No matching script. Please use EVAL.")
    const L = this.#L
    this.#context = context
    this.#limit()
    try {
      return withDoubles(() => {
        this.#setArguments("KEYS", keys)
        this.#setArguments("ARGV", args)
        lua.lua_pushcfunction(L, describeError)
        lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, compiled.ref)
        const status = lua.lua_pcall(L, 0, 1, -2)
        return status === lua.LUA_OK ? popReply(L) : failure(L, sha)
      })
    } finally {
      lua.lua_settop(L, 0)
      this.#context = undefined
    }
  }

  #limit() {
    let instructions = 0
    const hook = (L: LuaState) => {
      instructions += hookEvery
      if (instructions >= mostInstructions) lauxlib.luaL_error(L, luaBytes("the script does not end"))
    }
    lua.lua_sethook(this.#L, hook, lua.LUA_MASKCOUNT, hookEvery)
  }

  #setArguments(name: string, values: Args) {
    const L = this.#L
    // Index 2 of the registry is the table of globals; set raw, past the guard.
    lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, 2)
    pushString(L, name)
    pushReply(L, values)
    lua.lua_rawset(L, -3)
    lua.lua_pop(L, 1)
  }

  #openRedis() {
    const L = this.#L
    lua.lua_createtable(L, 0, 16)
    setFunction(L, "call", (state) => this.#call(state, true))
    setFunction(L, "pcall", (state) => this.#call(state, false))
    setFunction(L, "error_reply", (state) => line(state, "err"))
    setFunction(L, "status_reply", (state) => line(state, "ok"))
    setFunction(L, "sha1hex", (state) => {
      pushString(state, sha1(stringAt(state, 1)))
      return 1
    })
    setFunction(L, "log", () => 0)
    setFunction(L, "setresp", () => 0)
    setFunction(L, "replicate_commands", (state) => {
      lua.lua_pushboolean(state, true)
      return 1
    })
    for (const [level, name] of ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"].entries()) {
      lua.lua_pushnumber(L, level)
      lua.lua_setfield(L, -2, luaBytes(name))
    }
    lua.lua_setglobal(L, luaBytes("redis"))
  }

  #call(L: LuaState, raise: boolean): number {
    const reply = this.#dispatch(L)
    if (reply instanceof Failure) {
      pushError(L, reply.message)
      return raise ? lua.lua_error(L) : 1
    }
    pushReply(L, reply)
    return 1
  }

  #dispatch(L: LuaState): Reply {
    const context = this.#context
    if (context === undefined) return new Failure("ERR redis.call outside of a script")
    const call: Array<string> = []
    for (let i = 1; i <= lua.lua_gettop(L); i++) {
      const type = lua.lua_type(L, i)
      if (type === lua.LUA_TNUMBER) call.push(formatG(lua.lua_tonumber(L, i), 17))
      else if (type === lua.LUA_TSTRING) call.push(stringAt(L, i))
      else return new Failure("ERR Lua redis lib command arguments must be strings or integers")
    }
    const [name, ...args] = call
    if (name === undefined)
      return new Failure("ERR Please specify at least one argument for this redis.call() call")
    const command = find(context.machine.commands, name, args)
    if (command instanceof Failure) {
      return command.message.startsWith("ERR unknown command")
        ? new Failure("ERR Unknown Redis command called from script")
        : command
    }
    if (command.noScript === true) return new Failure("ERR This Redis command is not allowed from script")
    const reply = context.machine.nested(context, call)
    if (
      reply instanceof Failure &&
      reply.message === `ERR wrong number of arguments for '${command.name}' command`
    ) {
      return new Failure("ERR Wrong number of args calling Redis command from script")
    }
    return reply
  }
}

/** `redis.error_reply` and `redis.status_reply`. */
const line = (L: LuaState, field: "err" | "ok"): number => {
  if (lua.lua_gettop(L) !== 1 || lua.lua_type(L, 1) !== lua.LUA_TSTRING) {
    pushError(L, "ERR wrong number or type of arguments")
    return 1
  }
  const text = stringAt(L, 1)
  pushLine(L, field, field === "ok" ? text : withCode(text))
  return 1
}

/** An error without a code gets the common one; a leading `-` is Redis' own notation. */
const withCode = (text: string) => {
  if (text.startsWith("-")) return text.slice(1)
  return /^\S+ /.test(text) ? text : `ERR ${text}`
}

/** An error as scripts see it, with the line that caused it. */
const pushError = (L: LuaState, message: string) => {
  pushLine(L, "err", message)
  addPosition(L, 1)
}

const addPosition = (L: LuaState, level: number) => {
  for (let each = level; ; each++) {
    const debug = new lua.lua_Debug()
    if (lua.lua_getstack(L, each, debug) === 0) return
    lua.lua_getinfo(L, luaBytes("Sl"), debug)
    const source = debug.source === null ? "" : Buffer.from(debug.source).toString("latin1")
    if (source !== "@user_script") continue
    pushString(L, source)
    lua.lua_setfield(L, -2, luaBytes("source"))
    pushString(L, String(debug.currentline))
    lua.lua_setfield(L, -2, luaBytes("line"))
    return
  }
}

/** Handles an error where it was raised: turns a text into a table with its line. */
const describeError = (L: LuaState): number => {
  if (lua.lua_type(L, 1) !== lua.LUA_TTABLE) {
    const text = lua.lua_type(L, 1) === lua.LUA_TSTRING ? stringAt(L, 1) : "an error without a text"
    pushLine(L, "err", `ERR ${text}`)
    addPosition(L, 1)
    return 1
  }
  lua.lua_pushvalue(L, 1)
  return 1
}

/** The error on top as the reply to EVAL. */
const failure = (L: LuaState, sha: string): Failure => {
  if (lua.lua_type(L, -1) !== lua.LUA_TTABLE) return new Failure(`ERR ${stringAt(L, -1)} script: ${sha}.`)
  const message = fieldOf(L, "err") ?? "ERR unknown error"
  const [source, at] = [fieldOf(L, "source"), fieldOf(L, "line")]
  const where = source === undefined || at === undefined ? "" : `, on ${source}:${at}`
  return new Failure(`${message.replace(/[\r\n]/g, " ")} script: ${sha}${where}.`)
}
