/** `npm run build`: compiles the packages and makes each `dist` what would be published. */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { finish, publicPackages, removeStale } from "./Publishable.ts"

const root = join(import.meta.dirname, "..")
const packages = publicPackages(root)
for (const pack of packages) removeStale(pack)
const { status } = spawnSync(join(root, "node_modules/.bin/tsc"), ["-b", "tsconfig.build.json"], {
  cwd: root,
  stdio: "inherit"
})
if (status === 0) {
  for (const pack of packages) finish(root, pack)
  process.stdout.write(`built ${packages.map(({ name }) => name).join(", ")}\n`)
}
process.exitCode = status ?? 1
