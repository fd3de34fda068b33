/** Changesets tell users what changed: each names packages that exist, a kind of release, and says something. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { type Finding, listFiles } from "./Sources.ts"

const form = /^---\n([\s\S]*?)\n?---\n([\s\S]*)$/
const line = /^"([^"]+)": (patch|minor|major)$/

const faultsOf = (text: string, packages: ReadonlySet<string>): ReadonlyArray<string> => {
  const parts = form.exec(text)
  if (parts === null) return ['must open with `---`, lines of `"PACKAGE": patch|minor|major`, and `---`']
  const [, head = "", body = ""] = parts
  const faults: Array<string> = []
  for (const entry of head.split("\n").filter((entry) => entry.trim() !== "")) {
    const name = line.exec(entry)?.[1]
    if (name === undefined) faults.push(`\`${entry}\` is not \`"PACKAGE": patch|minor|major\``)
    else if (!packages.has(name)) faults.push(`there is no published package \`${name}\``)
  }
  if (body.trim() === "") faults.push("says nothing to users")
  return faults
}

/** What is wrong with the changesets below `root`. */
export const checkChangesets = (root: string): ReadonlyArray<Finding> => {
  const folder = join(root, ".changeset")
  if (!existsSync(folder)) return [{ path: ".changeset", line: 1, message: "is missing" }]
  const packages = new Set<string>()
  for (const path of listFiles(root, ["package.json"])) {
    const json = JSON.parse(readFileSync(join(root, path), "utf8")) as {
      readonly name: string
      readonly private?: boolean
    }
    if (json.private !== true) packages.add(json.name)
  }
  return listFiles(folder, [".md"])
    .filter((file) => file !== "README.md")
    .flatMap((file) =>
      faultsOf(readFileSync(join(folder, file), "utf8"), packages).map((message) => ({
        path: `.changeset/${file}`,
        line: 1,
        message
      }))
    )
}
