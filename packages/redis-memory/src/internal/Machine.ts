/**
 * Runs commands on a database, one after the other: looks them up, queues them
 * in MULTI, wakes those that wait for a key, tells subscribers, keeps the journal.
 * Knows no sockets, no timers and no clock but the one it is given.
 */
import { Database } from "./Database.ts"
import { Failure, nilList, type Reply, Status, wrongArity } from "./Reply.ts"

export type Args = ReadonlyArray<string>

/** A command waits for keys: asked again when one of them changes, answered with `otherwise` when `until` is over. */
export class Blocked {
  readonly keys: Args
  /** Epoch milliseconds; infinite for no limit. */
  readonly until: number
  readonly retry: () => Reply | undefined
  readonly otherwise: Reply
  constructor(keys: Args, until: number, retry: () => Reply | undefined, otherwise: Reply = nilList) {
    this.keys = keys
    this.until = until
    this.retry = retry
    this.otherwise = otherwise
  }
}

/** One client: a connection on the port, or a user in this process. */
export interface Session {
  readonly id: number
  name: string
  protocol: 2 | 3
  /** Calls since MULTI; `undefined` outside of it. */
  queue: Array<Args> | undefined
  /** A call since MULTI was refused: EXEC will refuse all. */
  broken: boolean
  readonly watched: Set<string>
  /** A watched key changed. */
  stale: boolean
  readonly channels: Set<string>
  readonly patterns: Set<string>
  /** Receives messages of publish and subscribe. */
  readonly push: (message: ReadonlyArray<Reply>) => void
  /** QUIT was answered. */
  quitting: boolean
}

export interface Context {
  readonly machine: Machine
  readonly db: Database
  readonly session: Session
  /** Epoch milliseconds; the same for all commands of a script or a transaction. */
  readonly now: number
  readonly mayBlock: boolean
}

/** A command as Redis declares it: `arity` counts the name, negative means at least. */
export interface Command {
  readonly name: string
  readonly arity: number
  readonly write?: boolean
  /** Refused inside of scripts. */
  readonly noScript?: boolean
  readonly run: (context: Context, args: Args) => Reply | Blocked
}

/** Evaluates scripts; handed in, since the Lua machine is loaded only when it is wanted. */
export interface Scripts {
  readonly load: (source: string) => string
  readonly has: (sha: string) => boolean
  readonly run: (context: Context, sha: string, keys: Args, args: Args) => Reply
  readonly flush: () => void
}

/** Remembers writes: the calls of one command, script or transaction, at one time. */
export type Journal = (now: number, calls: ReadonlyArray<Args>) => void

interface Waiter {
  readonly session: Session
  readonly blocked: Blocked
  readonly call: Args
  readonly resume: (reply: Reply) => void
}

export interface MachineOptions {
  readonly commands: ReadonlyMap<string, Command>
  readonly scripts: Scripts
  readonly now: () => number
}

export class Machine {
  readonly db: Database
  readonly commands: ReadonlyMap<string, Command>
  readonly scripts: Scripts
  readonly sessions = new Map<number, Session>()
  readonly channels = new Map<string, Set<Session>>()
  readonly patterns = new Map<string, Set<Session>>()
  journal: Journal | undefined
  readonly #clock: () => number
  #frozen: number | undefined
  #ids = 0
  readonly #watchers = new Map<string, Set<Session>>()
  readonly #waiters = new Set<Waiter>()
  readonly #awaited = new Map<string, number>()
  readonly #signalled = new Set<string>()
  #written: Array<Args> = []

  constructor(options: MachineOptions) {
    this.commands = options.commands
    this.scripts = options.scripts
    this.#clock = options.now
    this.db = new Database(
      () => this.now(),
      (key) => this.#changed(key)
    )
  }

  /** Epoch milliseconds; stands still while a command, script or transaction runs. */
  now() {
    return this.#frozen ?? this.#clock()
  }

  open(push: Session["push"]): Session {
    this.#ids += 1
    const session: Session = {
      id: this.#ids,
      name: "",
      protocol: 2,
      queue: undefined,
      broken: false,
      watched: new Set(),
      stale: false,
      channels: new Set(),
      patterns: new Set(),
      push,
      quitting: false
    }
    this.sessions.set(session.id, session)
    return session
  }

  close(session: Session) {
    this.unwatch(session)
    this.silence(session)
    this.sessions.delete(session.id)
  }

  /** Ends all subscriptions. */
  silence(session: Session) {
    for (const channel of session.channels) leave(this.channels, channel, session)
    for (const pattern of session.patterns) leave(this.patterns, pattern, session)
    session.channels.clear()
    session.patterns.clear()
  }

  /** Runs one call of a client; what it changed is in the journal when this returns. */
  execute(session: Session, call: Args, mayBlock: boolean): Reply | Blocked {
    return this.#atomically(() => this.#dispatch(session, call, mayBlock))
  }

  /** Replays calls from a journal as of their time. */
  replay(now: number, calls: ReadonlyArray<Args>) {
    const session = this.open(() => {})
    this.#frozen = now
    try {
      for (const call of calls) this.#guarded({ session, mayBlock: false, now }, call)
    } finally {
      this.#frozen = undefined
      this.#written = []
      this.close(session)
    }
  }

  /** Parks a blocked call; answers how to give it up. */
  wait(session: Session, call: Args, blocked: Blocked, resume: (reply: Reply) => void): () => void {
    const waiter = { session, blocked, call, resume }
    this.#waiters.add(waiter)
    for (const key of blocked.keys) this.#awaited.set(key, (this.#awaited.get(key) ?? 0) + 1)
    return () => this.#release(waiter)
  }

  /** Runs one call inside of a script or a transaction. */
  nested(context: Context, call: Args): Reply {
    const reply = this.#guarded({ session: context.session, mayBlock: false, now: context.now }, call)
    return reply instanceof Blocked ? reply.otherwise : reply
  }

  watch(session: Session, key: string) {
    session.watched.add(key)
    enter(this.#watchers, key, session)
  }

  unwatch(session: Session) {
    for (const key of session.watched) leave(this.#watchers, key, session)
    session.watched.clear()
    session.stale = false
  }

  #dispatch(session: Session, call: Args, mayBlock: boolean): Reply | Blocked {
    const [name = "", ...args] = call
    const command = find(this.commands, name, args)
    const refused = command instanceof Failure ? command : refuse(session, command, args)
    if (refused !== undefined) {
      if (session.queue !== undefined) session.broken = true
      return refused
    }
    if (session.queue !== undefined && !unqueued.has(name.toLowerCase())) {
      session.queue.push(call)
      return new Status("QUEUED")
    }
    return this.#guarded({ session, mayBlock, now: this.now() }, call)
  }

  /** Runs a call, turns what it throws into its reply and notes what it wrote. */
  #guarded(part: Pick<Context, "session" | "mayBlock" | "now">, call: Args): Reply | Blocked {
    const [name = "", ...args] = call
    const command = find(this.commands, name, args)
    if (command instanceof Failure) return command
    if (!arityFits(command, args)) return wrongArity(command.name)
    const before = this.db.changes
    try {
      const reply = command.run({ ...part, machine: this, db: this.db }, args)
      if (command.write === true && this.db.changes !== before) this.#written.push(call)
      return reply
    } catch (failure) {
      if (failure instanceof Failure) return failure
      throw failure
    }
  }

  #atomically<A>(run: () => A): A {
    this.#frozen = this.#clock()
    try {
      const result = run()
      if (this.#signalled.size > 0) this.#serve()
      if (this.#written.length > 0) this.journal?.(this.#frozen, this.#written)
      return result
    } finally {
      this.#written = []
      this.#frozen = undefined
    }
  }

  #changed(key: string) {
    const watchers = this.#watchers.get(key)
    if (watchers !== undefined) for (const session of watchers) session.stale = true
    if (this.#awaited.has(key)) this.#signalled.add(key)
  }

  /** Those who waited longest are asked first; an answer may signal further keys. */
  #serve() {
    while (this.#signalled.size > 0) {
      const keys = new Set(this.#signalled)
      this.#signalled.clear()
      for (const waiter of [...this.#waiters]) {
        if (waiter.blocked.keys.some((key) => keys.has(key))) this.#ask(waiter)
      }
    }
  }

  #ask(waiter: Waiter) {
    const before = this.db.changes
    const reply = attempt(waiter.blocked.retry)
    if (this.db.changes !== before) this.#written.push(waiter.call)
    if (reply === undefined) return
    this.#release(waiter)
    waiter.resume(reply)
  }

  #release(waiter: Waiter) {
    if (!this.#waiters.delete(waiter)) return
    for (const key of waiter.blocked.keys) {
      const count = this.#awaited.get(key) ?? 1
      if (count > 1) this.#awaited.set(key, count - 1)
      else this.#awaited.delete(key)
    }
  }
}

const unqueued = new Set(["multi", "exec", "discard", "watch", "quit", "reset"])

const attempt = (retry: () => Reply | undefined): Reply | undefined => {
  try {
    return retry()
  } catch (failure) {
    if (failure instanceof Failure) return failure
    throw failure
  }
}

/** Adds a session under a name. */
export const enter = (names: Map<string, Set<Session>>, name: string, session: Session) => {
  const sessions = names.get(name)
  if (sessions === undefined) names.set(name, new Set([session]))
  else sessions.add(session)
}

/** Removes a session from a name. */
export const leave = (names: Map<string, Set<Session>>, name: string, session: Session) => {
  const sessions = names.get(name)
  sessions?.delete(session)
  if (sessions?.size === 0) names.delete(name)
}

const arityFits = (command: Command, args: Args) =>
  command.arity >= 0 ? args.length + 1 === command.arity : args.length + 1 >= -command.arity

/** The first 128 characters, as Redis quotes what it does not know. */
const quoted = (args: Args) => {
  let text = ""
  for (const arg of args) {
    if (text.length >= 128) break
    text += `'${arg.slice(0, 128 - text.length)}' `
  }
  return text
}

/** A command, or a container's subcommand under `container|sub`. */
export const find = (commands: ReadonlyMap<string, Command>, name: string, args: Args): Command | Failure => {
  const lower = name.toLowerCase()
  const command = commands.get(lower)
  if (command !== undefined) return command
  const shown = name.slice(0, 128)
  if (!containers.has(lower)) {
    return new Failure(`ERR unknown command '${shown}', with args beginning with: ${quoted(args)}`)
  }
  const [sub] = args
  if (sub === undefined) return wrongArity(lower)
  return (
    commands.get(`${lower}|${sub.toLowerCase()}`) ??
    new Failure(`ERR unknown subcommand '${sub.slice(0, 128)}'. Try ${lower.toUpperCase()} HELP.`)
  )
}

const containers = new Set(["client", "script", "xgroup", "xinfo"])

const whileSubscribed = new Set([
  "subscribe",
  "unsubscribe",
  "psubscribe",
  "punsubscribe",
  "ping",
  "quit",
  "reset"
])

const refuse = (session: Session, command: Command, args: Args): Failure | undefined => {
  if (!arityFits(command, args)) return wrongArity(command.name)
  const listening = session.channels.size + session.patterns.size > 0
  if (!listening || session.protocol === 3 || whileSubscribed.has(command.name)) return undefined
  return new Failure(
    `ERR Can't execute '${command.name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`
  )
}
