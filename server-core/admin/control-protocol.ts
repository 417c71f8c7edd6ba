/**
 * The control socket's wire: UTF-8, one JSON-RPC 2.0 object a line, at most 1 MiB a line, any number in flight, answers by id.
 * Both ends and nobody else use this file; it depends on nothing.
 */

export const maxLineBytes = 1_048_576

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue }

export interface Column {
  readonly name: string
  readonly type: 'string' | 'integer'
}

/** What a command gives back, so that it can be printed without knowing the command. */
export type ResultShape =
  /** Nothing, or "no". */
  | { readonly kind: 'rescode' }
  /** A sentence, or "no" with a sentence. */
  | { readonly kind: 'restuple' }
  | { readonly kind: 'integer'; readonly name: string }
  | { readonly kind: 'string'; readonly name: string }
  /** Rows of one column print as plain lines. */
  | { readonly kind: 'list'; readonly columns: readonly Column[] }
  /** One row. */
  | { readonly kind: 'tuple'; readonly columns: readonly Column[] }

/** Values in the order of the columns. */
export type Row = readonly (string | number)[]

export interface ArgumentDescription {
  readonly name: string
  readonly type: 'string' | 'integer'
  readonly doc: string
  readonly secret: boolean
  readonly optional: boolean
  /** Values to choose from, where they are few. */
  readonly choices?: readonly string[]
  /** What kind of thing it names, for completion: a host, a user, a resource, a file of the caller's. */
  readonly names?: 'host' | 'user' | 'resource' | 'file'
}

export interface CommandDescription {
  readonly name: string
  readonly doc: string
  readonly category: string
  readonly tags: readonly string[]
  readonly args: readonly ArgumentDescription[]
  readonly forms: readonly { readonly names: readonly string[]; readonly hostAt?: number }[]
  readonly result: ResultShape
  readonly example: string
  readonly destroys?: 'one' | 'bulk'
}

export interface Description {
  readonly version: string
  readonly node: string
  readonly hosts: readonly string[]
  readonly commands: readonly CommandDescription[]
}

/** JSON-RPC error codes (JSON-RPC 2.0 §5.1) and ours, with the exit code that they mean. */
export const errorCodes = {
  parse: -32700,
  invalidRequest: -32600,
  unknownCommand: -32601,
  invalidParams: -32602,
  internal: -32603,
  failed: -32000,
  notAllowed: -32001,
  busy: -32003,
} as const
