/** `node scripts/pack.ts FOLDER`: packs what `npm run build` made, a tarball a package, and prints their paths. */
import { execFileSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { join, resolve } from "node:path"
import { publicPackages } from "./Publishable.ts"

const root = join(import.meta.dirname, "..")
const folder = resolve(process.argv[2] ?? "tarballs")
mkdirSync(folder, { recursive: true })
for (const pack of publicPackages(root)) {
  const out = execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], {
    cwd: join(pack.folder, "dist"),
    encoding: "utf8"
  })
  process.stdout.write(`${join(folder, out.trim().split("\n").at(-1) ?? "")}\n`)
}
