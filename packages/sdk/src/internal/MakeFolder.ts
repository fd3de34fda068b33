/**
 * Makes a folder with all it lies in, one after the other: `mkdir` with `recursive` never comes back below a folder in
 * which nothing can be made, such as `/proc`.
 */
import * as fs from "node:fs"
import { dirname } from "node:path"

/** The system's word for what went wrong; empty when it has none. */
export const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : ""

/** Makes a folder for its owner alone, and what it lies in; what cannot be done is thrown as `node:fs` does. */
export const makeFolder = (path: string): void => {
  const above = dirname(path)
  try {
    fs.mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if (codeOf(error) === "EEXIST" && fs.statSync(path).isDirectory()) return
    if (codeOf(error) !== "ENOENT" || above === path || fs.existsSync(above)) throw error
    makeFolder(above)
    makeFolder(path)
  }
}
