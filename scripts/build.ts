/** `npm run build`: makes each package's `dist` what would be published: types by `tsc`, JavaScript by esbuild. */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { installedBarrels } from "./Barrels.ts"
import { bundle } from "./Bundle.ts"
import { finish, publicPackages, removeStale } from "./Publishable.ts"

const root = join(import.meta.dirname, "..")
const { status } = spawnSync(join(root, "node_modules/.bin/tsc"), ["-b", "tsconfig.build.json"], {
  cwd: root,
  stdio: "inherit"
})
if (status === 0) {
  const packages = publicPackages(root)
  const barrels = installedBarrels(root)
  for (const pack of packages) {
    removeStale(pack)
    await bundle(pack, barrels)
    finish(root, pack)
  }
  process.stdout.write(`built ${packages.map(({ name }) => name).join(", ")}\n`)
}
process.exitCode = status ?? 1
