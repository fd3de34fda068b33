/**
 * The folder that several processes share for their write-ahead logs: each has a log of its own in a folder of
 * its own, and its name says whose it is. One whose owner is gone is taken over by renaming it, so that
 * of two that try only one succeeds, and a crash at any moment leaves it to the next.
 *
 * Each platform and organization has a folder of its own in the one that was named: what is left there is sent by
 * whoever starts next, and must not go elsewhere.
 *
 * ```
 * producer                            the installation's id
 * event-key-AGENT.json                what signs an agent's events
 * EPOCH.HOST.PID.START/               a log: segments and acknowledgements, and in `agent` those whose events are signed
 * quarantine/                         stretches of logs that were no record, and whole segments (`EPOCH-FIRST.wal`)
 *                                     that hold records of a later version
 * ```
 *
 * An owner on this machine is looked up by process id and start time. One elsewhere (a shared volume, another
 * container) cannot be looked up: its folder counts as left when it was not touched for a minute.
 */
import { execFileSync } from "node:child_process"
import { createHash, randomUUID } from "node:crypto"
import { readFileSync, readlinkSync } from "node:fs"
import { homedir, hostname, platform } from "node:os"
import { isAbsolute, join } from "node:path"
import type { WriteAheadFiles } from "./WriteAheadFiles.ts"

/** Whose a log is. */
export interface Owner {
  /** Tells machines and containers apart. */
  readonly host: string
  readonly pid: number
  /** When the process started, in the system's own words; a process id alone may be another's by now. */
  readonly start: string
}

/** Nobody: the log was left in order. */
export const nobody: Owner = { host: "0", pid: 0, start: "0" }

/** How long a folder of another machine stays its owner's without a sign of life. */
export const leaseMillis = 60_000

/** What stands in the name of a log's folder. */
export interface LogName {
  readonly name: string
  readonly epoch: string
  readonly owner: Owner
}

/** The name of a log's folder. */
export const logName = (epoch: string, owner: Owner): string =>
  `${epoch}.${owner.host}.${owner.pid}.${owner.start}`

/** What a folder's name says; undefined when it is not a log's. */
export const parseLogName = (name: string): LogName | undefined => {
  const match = /^([0-9a-f-]{36})\.([0-9a-f]+)\.(\d+)\.(\d+)$/.exec(name)
  const [, epoch, host, pid, start] = match ?? []
  if (epoch === undefined || host === undefined || pid === undefined || start === undefined) return undefined
  return { name, epoch, owner: { host, pid: Number(pid), start } }
}

/** Where logs lie unless a program says otherwise: `agion/events` in the user's state folder. */
export const defaultDirectory = (
  environment: Readonly<Record<string, string | undefined>> = process.env
): string => {
  const state = environment["XDG_STATE_HOME"]
  if (state !== undefined && isAbsolute(state)) return join(state, "agion", "events")
  const local = environment["LOCALAPPDATA"]
  switch (platform()) {
    case "win32":
      return join(local ?? join(homedir(), "AppData", "Local"), "agion", "events")
    case "darwin":
      return join(homedir(), "Library", "Application Support", "agion", "events")
    default:
      return join(homedir(), ".local", "state", "agion", "events")
  }
}

/** The folder in `directory` of an organization of a platform; its name can be read, and is no other's. */
export const platformDirectory = (directory: string, gatewayUrl: string, organizationId: string): string =>
  join(directory, distinctName(`${new URL(gatewayUrl).host} ${organizationId}`, gatewayUrl, organizationId))

/** A name for a file or a folder: what can be read of `text`, and what tells it from others of the same `identity`. */
export const distinctName = (text: string, ...identity: ReadonlyArray<string>): string => {
  const hash = createHash("sha256").update(JSON.stringify(identity)).digest("hex").slice(0, 16)
  return `${text.replaceAll(/[^a-zA-Z0-9.-]+/g, "_").slice(0, 64)}-${hash}`
}

let self: Owner | undefined

/** This process. */
export const thisProcess = (): Owner => {
  self ??= { host: hostId(), pid: process.pid, start: startOf(process.pid) ?? "0" }
  return self
}

const hostId = (): string => {
  const words = [hostname()]
  for (const look of [
    () => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"),
    () => readlinkSync("/proc/self/ns/pid")
  ]) {
    try {
      words.push(look())
    } catch {
      // Not Linux: the name must do.
    }
  }
  return createHash("sha256").update(words.join("\n")).digest("hex").slice(0, 12)
}

/** When a process of this machine started; undefined when there is none, or nobody can tell. */
const startOf = (pid: number): string | undefined => {
  try {
    if (platform() === "linux") {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
      return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]
    }
    if (platform() === "win32") return undefined
    // In the user's own language nobody reads its months.
    const env = { ...process.env, LC_ALL: "C" }
    const told = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8", env })
    const started = Date.parse(told.trim())
    return Number.isNaN(started) ? undefined : String(Math.floor(started / 1000))
  } catch {
    return undefined
  }
}

/** True while the owner may still write. */
const isAlive = (owner: Owner, files: WriteAheadFiles, path: string): boolean => {
  if (owner.pid === 0) return false
  const me = thisProcess()
  if (owner.host !== me.host) return files.age(path) < leaseMillis
  if (owner.pid === me.pid) return owner.start === me.start
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EPERM")) return false
  }
  const start = startOf(owner.pid)
  return start === undefined || start === owner.start
}

/**
 * The logs whose owners are gone, taken over; the oldest first. Those that another took meanwhile are left out, and
 * those that `mayTake` leaves to others.
 */
export const adopt = (
  files: WriteAheadFiles,
  directory: string,
  mayTake: (folder: string) => boolean = () => true
): ReadonlyArray<LogName> => {
  const adopted: Array<LogName> = []
  for (const name of [...files.list(directory)].sort()) {
    const log = parseLogName(name)
    if (log === undefined) continue
    try {
      const path = join(directory, name)
      if (isAlive(log.owner, files, path) || !mayTake(path)) continue
      // Before the name, or another machine would find an old time under the new one.
      files.touch(path)
      const mine = logName(log.epoch, thisProcess())
      files.rename(path, join(directory, mine))
      adopted.push({ name: mine, epoch: log.epoch, owner: thisProcess() })
    } catch {
      // Another process was faster.
    }
  }
  return adopted
}

/** Bytes of the segments in a log's folder; what cannot be looked at counts for nothing. */
export const bytesIn = (files: WriteAheadFiles, folder: string): number =>
  files.list(folder).reduce((sum, name) => {
    if (!name.endsWith(".wal")) return sum
    try {
      const file = files.open(join(folder, name), "read")
      try {
        return sum + files.size(file)
      } finally {
        files.close(file)
      }
    } catch {
      return sum
    }
  }, 0)

/** The name of a draft of a file, another one each time: it is renamed once it is whole, and tells whose it is. */
export const draftOf = (file: string, owner: Owner = thisProcess()): string =>
  `${file}.${owner.host}.${owner.pid}.${owner.start}.${randomUUID().slice(0, 8)}.new`

const owned = /\.([0-9a-f]+)\.(\d+)\.(\d+)\.[0-9a-f]{8}\.new$/
/** Drafts that do not say whose they are: of versions before this one. */
const anybodys = /\.[0-9a-f-]{36}\.new$|^producer\.[0-9a-f-]{36}$/

/** Removes the drafts in a folder whose owners are gone: killed between writing and renaming. Never throws. */
export const sweepDrafts = (files: WriteAheadFiles, folder: string): void => {
  const isLeft = (name: string): boolean => {
    const path = join(folder, name)
    const [, host, pid, start] = owned.exec(name) ?? []
    if (host !== undefined && pid !== undefined && start !== undefined)
      return !isAlive({ host, pid: Number(pid), start }, files, path)
    return anybodys.test(name) && files.age(path) > leaseMillis
  }
  const remove = (name: string): void => {
    try {
      if (isLeft(name)) files.remove(join(folder, name))
    } catch {
      // Another start was faster, or it is no file of ours.
    }
  }
  try {
    for (const name of files.list(folder)) remove(name)
  } catch {
    // Without the folder there is nothing in it.
  }
}

/** The installation's id: made once, kept in the directory. */
export const producerId = (files: WriteAheadFiles, directory: string): string => {
  const path = join(directory, "producer")
  const known = readText(files, path)
  if (known !== undefined && /^[0-9a-f-]{36}$/.test(known)) return known
  const fresh = randomUUID()
  const draft = draftOf(path)
  const file = files.open(draft, "create")
  try {
    files.append(file, Buffer.from(fresh), fresh.length)
  } finally {
    files.close(file)
  }
  files.rename(draft, path)
  return readText(files, path) ?? fresh
}

const readText = (files: WriteAheadFiles, path: string): string | undefined => {
  let file: number
  try {
    file = files.open(path, "read")
  } catch {
    return undefined
  }
  try {
    const bytes = Buffer.alloc(64)
    return bytes.toString("utf8", 0, files.read(file, bytes, 0))
  } finally {
    files.close(file)
  }
}
