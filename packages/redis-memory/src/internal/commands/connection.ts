/** What clients say before and beside their work: greeting, names, the server's facts. */
import type { Args, Command, Context, Session } from "../Machine.ts"
import { Failure, ok, Pairs, type Reply, Status, Verbatim } from "../Reply.ts"
import { at, int64 } from "./arguments.ts"

const version = "7.2.0"

const setName = (session: Session, name: string) => {
  if (/[^!-~]/.test(name)) {
    throw new Failure("ERR Client names cannot contain spaces, newlines or special characters.")
  }
  session.name = name
}

const noPassword = () =>
  new Failure(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
  )

const hello = ({ session }: Context, args: Args): Reply => {
  const [wanted] = args
  let protocol = session.protocol
  if (wanted !== undefined) {
    if (!/^-?\d+$/.test(wanted)) throw new Failure("ERR Protocol version is not an integer or out of range")
    if (wanted !== "2" && wanted !== "3") throw new Failure("NOPROTO unsupported protocol version")
    protocol = wanted === "2" ? 2 : 3
  }
  for (let i = 1; i < args.length; i++) {
    const option = at(args, i).toLowerCase()
    if (option === "auth" && i + 2 < args.length) throw noPassword()
    if (option !== "setname" || i + 1 >= args.length) {
      throw new Failure(`ERR Syntax error in HELLO option '${at(args, i)}'`)
    }
    setName(session, at(args, ++i))
  }
  session.protocol = protocol
  return new Pairs([
    ...["server", "redis", "version", version, "proto", protocol, "id", session.id],
    ...["mode", "standalone", "role", "master", "modules", []]
  ])
}

const ping = ({ session }: Context, args: Args): Reply => {
  if (args.length > 1) throw new Failure("ERR wrong number of arguments for 'ping' command")
  const listening = session.channels.size + session.patterns.size > 0
  if (listening && session.protocol === 2) return ["pong", args[0] ?? ""]
  return args[0] ?? new Status("PONG")
}

const select = (_: Context, args: Args): Reply => {
  if (int64(at(args, 0)) !== 0n) throw new Failure("ERR DB index is out of range")
  return ok
}

const info = ({ machine, db }: Context): Reply => {
  const keys = db.keys()
  const expires = keys.filter((key) => db.expiry(key) !== undefined).length
  const lines = [
    ...["# Server", `redis_version:${version}`, "redis_mode:standalone", "tcp_port:0", ""],
    ...["# Clients", `connected_clients:${machine.sessions.size}`, ""],
    ...["# Persistence", "loading:0", ""],
    ...["# Replication", "role:master", "connected_slaves:0", ""],
    "# Keyspace",
    ...(keys.length > 0 ? [`db0:keys=${keys.length},expires=${expires},avg_ttl=0`] : []),
    ""
  ]
  return new Verbatim(lines.join("\r\n"))
}

const reset = ({ machine, session }: Context): Reply => {
  machine.unwatch(session)
  machine.silence(session)
  session.queue = undefined
  session.broken = false
  session.name = ""
  session.protocol = 2
  return new Status("RESET")
}

const setInfo = (_: Context, args: Args): Reply => {
  const option = at(args, 1).toLowerCase()
  if (option !== "lib-name" && option !== "lib-ver") {
    throw new Failure(`ERR Unrecognized option '${at(args, 1)}'`)
  }
  return ok
}

/** Name, arity and flags; the keys' places are not told. */
const describe = (command: Command): Reply => [
  command.name,
  command.arity,
  [new Status(command.write === true ? "write" : "readonly")],
  ...[0, 0, 0, [], [], [], []]
]

const commandInfo = ({ machine }: Context, args: Args): Reply => {
  const [sub, ...names] = args
  const top = [...machine.commands.values()].filter((command) => !command.name.includes("|"))
  switch (sub?.toLowerCase()) {
    case undefined:
      return top.map(describe)
    case "count":
      return top.length
    case "docs":
      return new Pairs([])
    case "info":
      return names.map((name) => {
        const command = machine.commands.get(name.toLowerCase())
        return command === undefined ? null : describe(command)
      })
    default:
      throw new Failure(`ERR unknown subcommand '${sub}'. Try COMMAND HELP.`)
  }
}

const time = ({ now }: Context): Reply => [
  String(Math.floor(now / 1000)),
  String(Math.floor((now % 1000) * 1000))
]

export const connection: ReadonlyArray<Command> = [
  { name: "hello", arity: -1, noScript: true, run: hello },
  {
    name: "auth",
    arity: -2,
    noScript: true,
    run: () => {
      throw noPassword()
    }
  },
  { name: "ping", arity: -1, run: ping },
  { name: "echo", arity: 2, run: (_, args) => at(args, 0) },
  { name: "select", arity: 2, run: select },
  { name: "time", arity: 1, run: time },
  { name: "info", arity: -1, run: info },
  { name: "reset", arity: 1, noScript: true, run: reset },
  {
    name: "quit",
    arity: -1,
    noScript: true,
    run: ({ session }) => {
      session.quitting = true
      return ok
    }
  },
  { name: "command", arity: -1, run: commandInfo },
  { name: "client|id", arity: 2, noScript: true, run: ({ session }) => session.id },
  { name: "client|getname", arity: 2, noScript: true, run: ({ session }) => session.name || null },
  {
    name: "client|setname",
    arity: 3,
    noScript: true,
    run: ({ session }, args) => {
      setName(session, at(args, 1))
      return ok
    }
  },
  { name: "client|setinfo", arity: 4, noScript: true, run: setInfo },
  {
    name: "client|info",
    arity: 2,
    noScript: true,
    run: ({ session }) => `id=${session.id} name=${session.name} db=0 resp=${session.protocol}\n`
  }
]
