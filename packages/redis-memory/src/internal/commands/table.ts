/** The one table of commands; each family has a file. */
import type { Command } from "../Machine.ts"
import { connection } from "./connection.ts"
import { groups } from "./groups.ts"
import { hashes } from "./hashes.ts"
import { keys } from "./keys.ts"
import { lists } from "./lists.ts"
import { pubsub } from "./pubsub.ts"
import { scripting } from "./scripting.ts"
import { sets } from "./sets.ts"
import { sortedSets } from "./sortedSets.ts"
import { streams } from "./streams.ts"
import { strings } from "./strings.ts"
import { transactions } from "./transactions.ts"

const families = [
  connection,
  keys,
  strings,
  hashes,
  lists,
  sets,
  sortedSets,
  streams,
  groups,
  pubsub,
  transactions,
  scripting
]

/** By lower-case name; subcommands as `container|sub`. */
export const table: ReadonlyMap<string, Command> = new Map(
  families.flat().map((command) => [command.name, command])
)
