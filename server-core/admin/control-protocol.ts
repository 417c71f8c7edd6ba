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
  /** A file, which the caller's side writes where the argument that names a 'new-file' says. */
  | { readonly kind: 'file' }

/** Values in the order of the columns; null where there is none (the text says `undefined`). */
export type Row = readonly (string | number | null)[]

export interface ArgumentDescription {
  readonly name: string
  readonly type: 'string' | 'integer'
  readonly doc: string
  readonly secret: boolean
  /** A secret that is made here, so it is asked for twice. */
  readonly isNew?: true
  readonly optional: boolean
  /** Given as `--name VALUE`, not among the others; given several times, the values are joined with `;`. */
  readonly option?: true
  /** Values to choose from, where they are few. */
  readonly choices?: readonly string[]
  /**
   * What kind of thing it names: a host, a user, a resource (for completion); a file of the caller's, whose text travels
   * instead; a file that the caller's side writes; a file of the server's, which travels as an absolute path.
   */
  readonly names?: 'host' | 'user' | 'resource' | 'file' | 'new-file' | 'server-file'
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
  readonly destroysIf?: { readonly argument: string; readonly value: string }
  /** Can say what it would do. */
  readonly preview?: true
}

export interface Description {
  readonly version: string
  readonly node: string
  readonly hosts: readonly string[]
  readonly commands: readonly CommandDescription[]
  /** Names of commands like the one that was asked for and does not exist. */
  readonly nearest?: readonly string[]
  /** Why the one that was asked for may not be run through this socket. */
  readonly notAllowed?: string
  /** There is none such, but a module may know what the words mean: see `words`. */
  readonly takesWords?: true
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
  notRun: -32004,
} as const

/** A call; without `id` it is a notification, which gets no answer (JSON-RPC 2.0 §4.1). */
export interface Request {
  readonly jsonrpc: '2.0'
  readonly id?: string | number
  readonly method: string
  readonly params?: { readonly [name: string]: JsonValue }
}

/** The methods that are no commands. */
export const methods = {
  /** {login?, program?} → Hello; what the client says of itself, for the audit record. */
  hello: 'gatehouse.hello',
  /** {command?} → Description; of one command when it is named, with the nearest names when there is none such. */
  describe: 'gatehouse.describe',
  /** {words} → {value}: words that are no command go to the modules; unknownCommand when none of them knows them. */
  words: 'gatehouse.words',
  /** Completion → {values}: what a word that is being typed may become. */
  complete: 'gatehouse.complete',
  /** {command, params} → what the command would do, as its reply; nothing is changed. */
  preview: 'gatehouse.preview',
  /**
   * {stop} → {}: from now on the calls of this connection run one at a time, in the order in which they came. With `stop`
   * those behind one that said no or failed are not run (notRun).
   */
  inOrder: 'gatehouse.in_order',
  /** {id} → {cancelled}: ends a command that runs on the same connection. */
  cancel: 'gatehouse.cancel',
  /** Notification {id, data, last}: the next portion of a file that a command has asked for. */
  data: 'gatehouse.data',
} as const

/** What the server sends without being asked, all of them with the `id` of the call that they belong to. */
export const notifications = {
  /** {id, rows}: at most `maxRows` rows of a list. */
  rows: 'rows',
  /** {id, data}: the next bytes of a file, in base64. */
  bytes: 'bytes',
  /** {id, done, total?, text?} */
  progress: 'progress',
  /** {id}: the command wants the next portion of its file. */
  more: 'more',
} as const

export const maxRows = 1_000

export interface Hello {
  readonly version: string
  readonly node: string
  readonly state: 'starting' | 'started' | 'stopping'
}

export interface Completion {
  readonly kind: 'host' | 'user' | 'resource' | 'command'
  readonly prefix: string
  /** Of which host or user, where that is known. */
  readonly host?: string
  readonly user?: string
}

/** A file as an argument: its whole text, or this, and then the server asks for portion after portion. */
export interface FileStream {
  readonly stream: true
}

/** The result of a command, by its shape: rescode and restuple, integer and string, list and tuple, file. */
export type CommandReply =
  | { readonly ok: boolean; readonly text?: string }
  | { readonly value: string | number }
  | { readonly rows: readonly Row[] }
  /** The rows came as notifications. */
  | { readonly count: number }
  /** So many bytes of a file came as notifications. */
  | { readonly bytes: number }

export interface ErrorReply {
  readonly code: number
  readonly message: string
  /** Names like the unknown one. */
  readonly data?: { readonly nearest?: readonly string[]; readonly argument?: string }
}
