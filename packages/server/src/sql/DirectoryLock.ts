/**
 * A directory for one process alone. A file names the process that holds it and when that process started; what a
 * dead process left behind is taken over, by one process however many see it.
 *
 * The files are numbered, and the highest holds: `lock.8` takes over from `lock.7`. Only one process can make a
 * number, with its whole content at once, and the highest is never removed: who comes late finds its number taken
 * or its file overtaken, and looks again.
 */
import { randomUUID } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { link, mkdir, readdir, rm, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"

/** The lock is ours until `release`, or another process's. */
export type Taken =
  | { readonly _tag: "Taken"; readonly release: () => Promise<void> }
  | { readonly _tag: "Held"; readonly pid: number }

const fileOf = (path: string, number: number): string => join(path, `lock.${number}`)

/** The numbers that are there, in their order. */
const numbers = async (path: string): Promise<ReadonlyArray<number>> =>
  (await readdir(path))
    .flatMap((name) => /^lock\.(\d{1,15})$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)

/** Takes the lock, or tells which process holds it. */
export const take = async (path: string): Promise<Taken> => {
  await makeFolder(path)
  for (;;) {
    const last = (await numbers(path)).at(-1) ?? 0
    const holder = last === 0 ? undefined : readHolder(fileOf(path, last))
    if (holder !== undefined && isAlive(holder)) return { _tag: "Held", pid: holder.pid }
    const file = fileOf(path, last + 1)
    if (!(await make(path, file))) continue
    const there = await numbers(path)
    if (there.at(-1) === last + 1) {
      for (const old of there.slice(0, -1)) await rm(fileOf(path, old), { force: true })
      // Kept with nobody in it, so that no number comes twice.
      return { _tag: "Taken", release: () => writeFile(file, "0") }
    }
    await rm(file, { force: true })
  }
}

/**
 * Makes a folder and what it stands in, one by one: asked for all of them at once, Node tries for ever where a folder
 * takes no others, as in `/proc`.
 */
const makeFolder = async (path: string): Promise<void> => {
  const parent = dirname(path)
  if (parent !== path && !existsSync(parent)) await makeFolder(parent)
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    if (!isCode(error, "EEXIST")) throw error
  }
}

/** Makes a file that names this process; false when there is one. */
const make = async (path: string, file: string): Promise<boolean> => {
  const content = `${process.pid} ${statusOf(process.pid)?.startedAt ?? ""}`
  const whole = join(path, `lock-${randomUUID()}`)
  await writeFile(whole, content, { mode: 0o600 })
  try {
    await link(whole, file)
    return true
  } catch (error) {
    if (isCode(error, "EEXIST")) return false
    if (!noLinks.some((code) => isCode(error, code))) throw error
    return await makeUnlinked(file, content)
  } finally {
    await rm(whole, { force: true })
  }
}

/** How file systems without hard links say so. */
const noLinks = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]

/** The same where there are no hard links; for a moment the file names nobody. */
const makeUnlinked = async (file: string, content: string): Promise<boolean> => {
  try {
    await writeFile(file, content, { flag: "wx", mode: 0o600 })
    return true
  } catch (error) {
    if (isCode(error, "EEXIST")) return false
    throw error
  }
}

interface Holder {
  readonly pid: number
  readonly startedAt: string
}

const readHolder = (file: string): Holder | undefined => {
  try {
    const [pid = "", startedAt = ""] = readFileSync(file, "utf8").split(" ")
    return Number(pid) > 0 ? { pid: Number(pid), startedAt } : undefined
  } catch {
    return undefined
  }
}

/**
 * A pid alone may since belong to another process: its start time tells them apart, where the system says it. What
 * has ended and was not waited for by its parent keeps its pid, and is dead.
 */
const isAlive = (holder: Holder): boolean => {
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    if (!isCode(error, "EPERM")) return false
  }
  const status = statusOf(holder.pid)
  if (status === undefined) return true
  if (status.state === "Z" || status.state === "X") return false
  return holder.startedAt === "" || status.startedAt === holder.startedAt
}

interface Status {
  /** One letter, of proc(5): `Z` is a zombie, `X` dead. */
  readonly state: string | undefined
  /** In the system's ticks. */
  readonly startedAt: string | undefined
}

/** What the system says of a process; undefined where there is no /proc. */
const statusOf = (pid: number): Status | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return { state: fields[0], startedAt: fields[19] }
  } catch {
    return undefined
  }
}

const isCode = (error: unknown, code: string): boolean =>
  typeof error === "object" && error !== null && "code" in error && error.code === code
