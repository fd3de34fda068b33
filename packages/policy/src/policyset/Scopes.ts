/**
 * Which policies apply to an input.
 *
 * Every policy with a scope stands under one of its lists: exact values in a map by value, globs by the literal
 * text before their first `*` or after their last. A lookup therefore costs what applies, not what exists. The
 * other lists of the scope are compared when a candidate is found.
 */
import { globMatches } from "../cel/Library.ts"
import type { PolicyInput, Scope } from "./Policy.ts"

/** The parts of an input that scopes look at. */
export interface Facets {
  agents: string | undefined
  actions: string | undefined
  resourceTypes: string | undefined
  resourceIds: string | undefined
  tags: ReadonlyArray<string>
}

type Dimension = keyof Facets
type Single = Exclude<Dimension, "tags">

const NO_TAGS: ReadonlyArray<string> = []

const ownText = (o: object | undefined, field: string): string | undefined => {
  if (o === undefined || o === null || !Object.hasOwn(o, field)) return undefined
  const v = (o as Record<string, unknown>)[field]
  return typeof v === "string" ? v : undefined
}

/** Reads the facets of an input. */
export const facetsOf = (input: PolicyInput): Facets => {
  const resource = input.resource
  const tags =
    resource !== undefined && resource !== null && Object.hasOwn(resource, "tags")
      ? (resource as Record<string, unknown>)["tags"]
      : undefined
  return {
    agents: typeof input.agent_id === "string" ? input.agent_id : ownText(input.actor, "id"),
    actions: typeof input.action === "string" ? input.action : ownText(input.request, "action"),
    resourceTypes: ownText(resource, "resource_type"),
    resourceIds: ownText(resource, "id"),
    tags: Array.isArray(tags) ? tags : NO_TAGS
  }
}

const isGlob = (entry: string): boolean => entry.includes("*") || entry.includes("?")

/** Whether a text fits one of the entries. */
const fits = (entries: ReadonlyArray<string>, text: string | undefined): boolean => {
  if (text === undefined) return false
  for (const entry of entries) {
    if (entry === text || (isGlob(entry) && globMatches(entry, text))) return true
  }
  return false
}

/** Whether a scope holds for the facets. */
export const applies = (scope: Scope, f: Facets): boolean =>
  (empty(scope.agents) || fits(scope.agents, f.agents)) &&
  (empty(scope.actions) || fits(scope.actions, f.actions)) &&
  (empty(scope.resourceTypes) || fits(scope.resourceTypes, f.resourceTypes)) &&
  (empty(scope.resourceIds) || fits(scope.resourceIds, f.resourceIds)) &&
  (empty(scope.tags) || tagsFit(scope.tags, f.tags))

const tagsFit = (entries: ReadonlyArray<string>, tags: ReadonlyArray<string>): boolean => {
  for (const tag of tags) if (fits(entries, tag)) return true
  return false
}

const empty = (list: ReadonlyArray<string> | undefined): list is undefined =>
  list === undefined || list.length === 0 || list.includes("*")

/** The most telling list first. */
const ORDER: ReadonlyArray<Dimension> = ["resourceIds", "agents", "tags", "resourceTypes", "actions"]

/** Policies under one list of their scopes. */
class Bucket {
  readonly exact = new Map<string, Array<number>>()
  /** By length of the literal text, then by the text. */
  readonly prefixes = new Map<number, Map<string, Array<number>>>()
  readonly suffixes = new Map<number, Map<string, Array<number>>>()
  size = 0

  add(entry: string, policy: number): void {
    this.size++
    const first = entry.search(/[*?]/)
    const tail = entry.slice(Math.max(entry.lastIndexOf("*"), entry.lastIndexOf("?")) + 1)
    if (first < 0) push(this.exact, entry, policy)
    else if (first > 0) push(level(this.prefixes, first), entry.slice(0, first), policy)
    else push(level(this.suffixes, tail.length), tail, policy)
  }

  find(text: string, found: (policies: ReadonlyArray<number>) => void): void {
    const exact = this.exact.get(text)
    if (exact !== undefined) found(exact)
    if (this.prefixes.size > 0) {
      for (const [length, texts] of this.prefixes) {
        const policies = texts.get(text.slice(0, length))
        if (policies !== undefined) found(policies)
      }
    }
    if (this.suffixes.size > 0) {
      for (const [length, texts] of this.suffixes) {
        const policies = texts.get(length === 0 ? "" : text.slice(-length))
        if (policies !== undefined) found(policies)
      }
    }
  }
}

const push = (m: Map<string, Array<number>>, key: string, policy: number): void => {
  const list = m.get(key)
  if (list === undefined) m.set(key, [policy])
  else if (list[list.length - 1] !== policy) list.push(policy)
}

const level = (m: Map<number, Map<string, Array<number>>>, length: number): Map<string, Array<number>> => {
  let texts = m.get(length)
  if (texts === undefined) {
    texts = new Map()
    m.set(length, texts)
  }
  return texts
}

/** Finds the policies that apply; policies are numbers. */
export class Index {
  private readonly always: Array<number> = []
  private readonly buckets = new Map<Dimension, Bucket>()
  private readonly singles: Array<readonly [Single, Bucket]> = []
  private readonly tags: Bucket
  private readonly scopes: ReadonlyArray<Scope | undefined>
  /** When a policy was last found, so that it is found once. */
  private readonly seen: Uint32Array
  private round = 0
  private found: Array<number> = []
  private facets: Facets = {
    agents: undefined,
    actions: undefined,
    resourceTypes: undefined,
    resourceIds: undefined,
    tags: []
  }

  constructor(scopes: ReadonlyArray<Scope | undefined>) {
    this.scopes = scopes.map((s) => (s === undefined || ORDER.every((d) => empty(s[d])) ? undefined : s))
    this.seen = new Uint32Array(scopes.length)
    this.tags = new Bucket()
    for (let i = 0; i < this.scopes.length; i++) this.place(this.scopes[i], i)
    for (const [dimension, bucket] of this.buckets)
      if (dimension !== "tags") this.singles.push([dimension, bucket])
    this.tags = this.buckets.get("tags") ?? this.tags
  }

  private place(scope: Scope | undefined, policy: number): void {
    const dimension = scope === undefined ? undefined : bestDimension(scope)
    if (scope === undefined || dimension === undefined) {
      this.always.push(policy)
      return
    }
    let bucket = this.buckets.get(dimension)
    if (bucket === undefined) {
      bucket = new Bucket()
      this.buckets.set(dimension, bucket)
    }
    for (const entry of scope[dimension] ?? []) bucket.add(entry, policy)
  }

  /** The policies that apply, valid until the next call. */
  find(input: PolicyInput): ReadonlyArray<number> {
    if (this.buckets.size === 0) return this.always
    const facets = facetsOf(input)
    this.facets = facets
    this.found = this.always.slice()
    this.round++
    if (this.round > 0xffffffff) {
      this.seen.fill(0)
      this.round = 1
    }
    for (const [dimension, bucket] of this.singles) {
      const text = facets[dimension]
      if (text !== undefined) bucket.find(text, this.collect)
    }
    if (this.tags.size > 0) {
      for (const tag of facets.tags) if (typeof tag === "string") this.tags.find(tag, this.collect)
    }
    return this.found
  }

  private readonly collect = (policies: ReadonlyArray<number>): void => {
    for (const policy of policies) {
      if (this.seen[policy] === this.round) continue
      this.seen[policy] = this.round
      const scope = this.scopes[policy]
      if (scope === undefined || applies(scope, this.facets)) this.found.push(policy)
    }
  }
}

/** The list by which a policy is found: one of exact entries when there is one. */
const bestDimension = (scope: Scope): Dimension | undefined => {
  let fallback: Dimension | undefined
  for (const dimension of ORDER) {
    const entries = scope[dimension]
    if (empty(entries)) continue
    if (!entries.some(isGlob)) return dimension
    fallback ??= dimension
  }
  return fallback
}
