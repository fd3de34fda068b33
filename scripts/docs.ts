/** `npm run docs`: writes the pages of `docs/` that are made from the code. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { page } from "./ContractPage.ts"

const path = join(import.meta.dirname, "../docs/contract.md")
writeFileSync(path, page())
process.stdout.write(`wrote ${path}\n`)
