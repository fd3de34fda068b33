import { type ActorType, actorTypes, type PermissionType, permissionTypes } from "@agion/domain"
import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import { EntryTable, type Held } from "../src/internal/EntryTable.ts"

interface Entry extends Held {
  readonly name: string
}

const Small = (size: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: size - 1 }))
const Key = Schema.Struct({
  organization: Small(2),
  actor: Small(3),
  actorType: Schema.Literals(actorTypes),
  resource: Small(4),
  permission: Schema.Literals(permissionTypes)
})
type Key = typeof Key.Type

const Command = Schema.Union([
  Schema.Struct({ do: Schema.Literal("put"), key: Key }),
  Schema.Struct({ do: Schema.Literal("use"), key: Key }),
  Schema.Struct({ do: Schema.Literal("remove"), key: Key })
])

const nameOf = (key: Key) =>
  JSON.stringify([key.organization, key.actor, key.actorType, key.resource, key.permission])

const entryOf = (key: Key): Entry => ({
  organizationId: `org-${key.organization}`,
  actorId: `actor-${key.actor}`,
  actorType: key.actorType,
  resourceId: `resource-${key.resource}`,
  permissionType: key.permission,
  stamp: 0,
  live: false,
  slot: 0,
  next: undefined,
  name: nameOf(key)
})

const find = (table: EntryTable<Entry>, key: Key) =>
  table.find(
    `org-${key.organization}`,
    `actor-${key.actor}`,
    key.actorType as ActorType,
    `resource-${key.resource}`,
    key.permission as PermissionType
  )

it.prop(
  "CACHE-1 CACHE-2 holds what a list in order of use would hold, and evicts exactly the least recently used",
  [Schema.Array(Command).check(Schema.isMinLength(50), Schema.isMaxLength(300))],
  ([commands]) => {
    const capacity = 8
    const evicted: Array<string> = []
    const table = new EntryTable<Entry>(capacity, (entry) => evicted.push(entry.name))
    // The model: names in order of use, the least recent first.
    let model: ReadonlyArray<string> = []
    const modelEvicted: Array<string> = []
    for (const { do: what, key } of commands) {
      const name = nameOf(key)
      const known = find(table, key)
      assert.strictEqual(known?.name, model.includes(name) ? name : undefined)
      if (what === "put") {
        table.put(entryOf(key))
        model = [...model.filter((other) => other !== name), name]
        if (model.length > capacity) {
          modelEvicted.push(model[0] ?? "")
          model = model.slice(1)
        }
      } else if (known !== undefined && what === "use") {
        table.touch(known)
        model = [...model.filter((other) => other !== name), name]
      } else if (known !== undefined) {
        table.remove(known)
        model = model.filter((other) => other !== name)
      }
      assert.strictEqual(table.size, model.length)
      assert.deepStrictEqual(evicted, modelEvicted)
    }
    const held = ["org-0", "org-1"].flatMap((organization) => [...table.of(organization)])
    assert.deepStrictEqual(held.map((entry) => entry.name).sort(), [...model].sort())
  }
)
