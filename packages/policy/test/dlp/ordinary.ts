/**
 * Ordinary lines: sources, documents and licences of the packages that are installed here.
 */
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url))
const TEXT = /\.(?:[cm]?[jt]sx?|md|json|ya?ml|html|css|txt)$|^(?:LICEN[CS]E|README|CHANGELOG)/i

const files = (folder: string, into: Array<string>): void => {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) files(path, into)
    else if (entry.isFile() && TEXT.test(entry.name) && statSync(path).size < 2_000_000) into.push(path)
  }
}

/** Documents and sources of this repository, and `packages` of the installed ones (all of them without a list). */
export const ordinaryFiles = (packages?: ReadonlyArray<string>): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (const folder of ["docs", "packages/policy/src", "packages/domain/src"])
    files(join(ROOT, folder), found)
  if (packages === undefined) files(join(ROOT, "node_modules"), found)
  else for (const name of packages) files(join(ROOT, "node_modules", name), found)
  return found
}

/** The lines of a file. */
export const linesOf = (path: string): ReadonlyArray<string> => readFileSync(path, "utf8").split("\n")
