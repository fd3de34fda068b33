/**
 * The folder that a program names for what survives a restart: made and tried before anything is kept in it, so that
 * one that cannot be is an error of the start. What a killed process had begun to write there is removed.
 */
import * as fs from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { SettingsInvalid } from "../Settings.ts"
import { node } from "../WriteAheadFiles.ts"
import { sweepDrafts } from "../WriteAheadFolder.ts"
import { codeOf, makeFolder } from "./MakeFolder.ts"

/** What no waiting makes good: the path is wrong, or not for this process. */
const reasons = new Map([
  ["EEXIST", "there is a file in its place"],
  ["ENOTDIR", "there is a file on its path"],
  ["EACCES", "this process may not write there"],
  ["EPERM", "this process may not write there"],
  ["EROFS", "the file system is read-only"],
  ["ENOENT", "nothing can be made there"],
  ["ENAMETOOLONG", "its name is too long"],
  ["ELOOP", "its links go round in a circle"],
  ["EINVAL", "the system takes no such name"]
])

/** Why nothing can be kept in a folder; undefined: it can, or may be able to later, such as on a full disk. */
const reasonOf = (directory: string): string | undefined => {
  try {
    makeFolder(directory)
    fs.rmdirSync(fs.mkdtempSync(join(directory, ".try-")))
    sweepDrafts(node, directory)
    return undefined
  } catch (error) {
    return reasons.get(codeOf(error))
  }
}

/** What of an agent's options tells of its folder. */
interface Keeping {
  readonly directory?: string | false
  readonly events?: { readonly files?: unknown }
}

/** Fails where the folder that the options name cannot be used. */
export const usableFolder = ({ directory, events }: Keeping): Effect.Effect<void, SettingsInvalid> =>
  Effect.suspend(() => {
    // A file system of the program's own says itself what it can.
    if (typeof directory !== "string" || events?.files !== undefined) return Effect.void
    const reason = reasonOf(directory)
    if (reason === undefined) return Effect.void
    const problem = `cannot be used: ${reason} (\`${directory}\`); name a folder that this process may write to, or false for none`
    return Effect.fail(new SettingsInvalid({ setting: "directory", problem }))
  })
