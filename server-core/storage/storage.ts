/**
 * What is kept, one contract per kind of data. Nothing above these contracts knows SQL, and nothing may lean on an answer
 * coming at once: every call is asynchronous, the next implementation talks to a server over a network.
 *
 * All users and hosts are prepared (nodeprep, nameprep) before they come here. Every write is durable when its promise
 * resolves. A call that cannot be carried out rejects with StorageUnavailable; that is never an answer. A call with a
 * signal rejects with the signal's reason, and changes nothing, when that aborts before the change is made.
 */

export class StorageUnavailable extends Error {
  override readonly name = 'StorageUnavailable'
  /** What an administrator should look at, in words. */
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options)
  }
}

export interface Storage {
  readonly accounts: AccountStore
  readonly rosters: RosterStore
  readonly offline: OfflineStore
  readonly last: LastStore
  readonly privates: PrivateStore
  readonly vcards: VcardStore
  readonly blocklists: BlocklistStore
  readonly domains: DomainStore
  readonly anonymous: AnonymousStore
  readonly moduleData: ModuleDataStore
  /** Deletes everything of every kind that is kept for one account, at once. False if there was no account. */
  removeAccount(user: string, host: string, signal?: AbortSignal): Promise<boolean>
  /** The same for all accounts of a host. */
  removeHost(host: string): Promise<void>
  /**
   * Copies everything, as it is at one moment, into a file of this machine, the owner's alone. The copy has been checked when
   * it resolves; otherwise nothing is there, or what was there before.
   */
  backup(file: string): Promise<void>
  /**
   * Replaces everything by what such a file holds, at once. It is checked before; when it is not sound, or of a newer program,
   * nothing is changed. What others have read before is out of date afterwards.
   */
  restore(file: string): Promise<void>
  /** The accounts of each host in such a file, which is checked as for a restore; nothing is changed. */
  backupContent(file: string): Promise<ReadonlyMap<string, number>>
  /** How many changes wait now to be carried out. */
  readonly waiting: number
  /** Tells for each change how long it took until it was durable, in milliseconds; returns what ends that. */
  onWritten(listener: (ms: number) => void): () => void
  close(): Promise<void>
}

export interface AccountRecord {
  readonly user: string
  readonly host: string
  /** Unix time in seconds. */
  readonly created: number
  readonly disabled: boolean
  readonly ban: Ban | undefined
}

export interface Ban {
  /** Unix time in seconds. */
  readonly since: number
  readonly reason: string
  readonly by: string
}

/** One stored secret of an account. An account has one per format that it is kept in, and one per application password. */
export interface Credential {
  /** '' for the account's own password; else the name of an application password. */
  readonly label: string
  /** The name of the format, as in accounts/formats/index.ts. */
  readonly format: string
  readonly value: string
  /** Unix time in seconds. */
  readonly changed: number
}

export interface AccountStore {
  /** What servers ask most often. */
  exists(user: string, host: string): Promise<boolean>
  get(user: string, host: string): Promise<AccountRecord | undefined>
  credentials(user: string, host: string): Promise<readonly Credential[]>
  /** Makes the account with these credentials; false, and nothing is changed, if it exists. */
  create(
    user: string,
    host: string,
    credentials: readonly Credential[],
    signal?: AbortSignal,
  ): Promise<boolean>
  /** Replaces the credentials of one label; false, and nothing is changed, if the account does not exist. */
  setCredentials(
    user: string,
    host: string,
    label: string,
    credentials: readonly Credential[],
    signal?: AbortSignal,
  ): Promise<boolean>
  /** Replaces one credential if it is still what was read (compare and swap); false if it has changed meanwhile. */
  replaceCredential(user: string, host: string, old: Credential, now: readonly Credential[]): Promise<boolean>
  setDisabled(user: string, host: string, disabled: boolean): Promise<boolean>
  setBan(user: string, host: string, ban: Ban | undefined, signal?: AbortSignal): Promise<boolean>
  /** The users of a host, in order of the name. */
  list(host: string): AsyncIterable<string>
  /** The hosts that have accounts, in order of the name. */
  hosts(): Promise<readonly string[]>
  count(host: string): Promise<number>
  /** How many accounts of the host keep their own password in each format. */
  formats(host: string): Promise<ReadonlyMap<string, number>>
  /** How many accounts of the host keep their own password in exactly these formats, for each set that there is. */
  formatSets(
    host: string,
  ): Promise<readonly { readonly formats: readonly string[]; readonly accounts: number }[]>
}

export type Subscription = 'none' | 'to' | 'from' | 'both'

/** One contact (RFC 6121 §2.1.2), with the states of RFC 6121 appendix A that do not show in the item. */
export interface RosterItem {
  /** The contact's bare JID. */
  readonly jid: string
  readonly name: string
  readonly subscription: Subscription
  /** Pending out: shows as ask='subscribe'. */
  readonly pendingOut: boolean
  /** Pending in: the whole `subscribe` stanza as text; undefined when there is none. */
  readonly pendingIn: string | undefined
  readonly approved: boolean
  readonly groups: readonly string[]
  /** Whether the user has this contact; false for a mere pending in, which is no item and never shows. */
  readonly listed: boolean
}

export interface RosterChange {
  readonly before: RosterItem | undefined
  readonly after: RosterItem | undefined
  /** The roster's version after the change. */
  readonly version: number
}

export interface RosterStore {
  /** Everything that is kept, mere pending ins included. */
  list(user: string, host: string): Promise<readonly RosterItem[]>
  /** Only those where a request of either side waits for an answer. */
  pending(user: string, host: string): Promise<readonly RosterItem[]>
  get(user: string, host: string, jid: string): Promise<RosterItem | undefined>
  /**
   * Changes one item with nothing in between: `change` gets the item and returns what it shall be; undefined deletes it,
   * the same object changes nothing. The version grows when something that shows has changed. `change` only looks at
   * what it gets: it may be called more than once.
   */
  update(
    user: string,
    host: string,
    jid: string,
    change: (old: RosterItem | undefined) => RosterItem | undefined,
  ): Promise<RosterChange>
  /** Without mere pending ins. */
  count(user: string, host: string): Promise<number>
  version(user: string, host: string): Promise<number>
  /** What has changed since a version, in order, a removed contact as `{jid, item: undefined}`; undefined = too long ago. */
  changesSince(
    user: string,
    host: string,
    version: number,
  ): Promise<readonly { jid: string; item: RosterItem | undefined; version: number }[] | undefined>
}

export interface OfflineMessage {
  /** Grows in order of arrival. */
  readonly seq: number
  /** Unix time in milliseconds. */
  readonly received: number
  /** The stanza as text, from and to included. */
  readonly stanza: string
}

export interface OfflineStore {
  /**
   * 'full' when the account would have more than these messages or bytes; nothing is stored then. `expires` is Unix time in
   * milliseconds.
   */
  store(
    user: string,
    host: string,
    stanza: string,
    received: number,
    expires: number | undefined,
    limits: { readonly messages: number; readonly bytes: number },
  ): Promise<'stored' | 'full'>
  /** What waits and has not expired, oldest first. */
  list(user: string, host: string): Promise<readonly OfflineMessage[]>
  delete(user: string, host: string, seqs: readonly number[]): Promise<void>
  count(user: string, host: string): Promise<number>
  /** How many of a host's messages (of all hosts without one) came before that moment, in Unix milliseconds. */
  countBefore(host: string | undefined, received: number): Promise<number>
  /** Deletes them, some at a time; gives how many there were. */
  deleteBefore(host: string | undefined, received: number): Promise<number>
  /** Deletes what has expired, of one host or of all; gives how many there were. */
  deleteExpired(host: string | undefined): Promise<number>
}

/** When an account was last seen (XEP-0012). */
export interface LastActivity {
  /** Unix time in seconds. */
  readonly seconds: number
  /** What the client said when it went; '' for nothing. */
  readonly status: string
}

export interface LastStore {
  get(user: string, host: string): Promise<LastActivity | undefined>
  set(user: string, host: string, last: LastActivity): Promise<void>
  /** How many accounts of the host were last seen after that moment, in Unix seconds. */
  countSince(host: string, seconds: number): Promise<number>
}

/** One element that a client keeps here (XEP-0049): one for each namespace. */
export interface PrivateElement {
  readonly ns: string
  /** The whole element as text. */
  readonly xml: string
}

export interface PrivateStore {
  get(user: string, host: string, ns: string): Promise<string | undefined>
  /**
   * Stores all of them or none: 'full' when the account would have more than these elements or bytes. What has the same
   * namespace is replaced.
   */
  set(
    user: string,
    host: string,
    elements: readonly PrivateElement[],
    limits: { readonly elements: number; readonly bytes: number },
  ): Promise<'stored' | 'full'>
  /** In order of the namespace. */
  list(user: string, host: string): Promise<readonly PrivateElement[]>
}

export interface VcardStore {
  /** The whole vCard element as text. */
  get(user: string, host: string): Promise<string | undefined>
  /** undefined deletes it. */
  set(user: string, host: string, vcard: string | undefined): Promise<void>
}

export interface BlocklistStore {
  /** The addresses that the account has blocked, in order. */
  get(user: string, host: string): Promise<readonly string[]>
  /**
   * Blocks and unblocks with nothing in between; `remove: 'all'` unblocks everybody first. 'full' when there would be more
   * addresses than that; nothing is changed then. Else the list before and after.
   */
  change(
    user: string,
    host: string,
    change: { readonly add: readonly string[]; readonly remove: readonly string[] | 'all' },
    limit: number,
  ): Promise<'full' | { readonly before: readonly string[]; readonly after: readonly string[] }>
}

/** A domain that an administrator has added by command. */
export interface Domain {
  readonly host: string
  /** Its options, as in `host_config`. */
  readonly options: Readonly<Record<string, unknown>>
}

export interface DomainStore {
  /** In order of the name. */
  list(): Promise<readonly Domain[]>
  /** Adds it, or replaces its options. */
  set(domain: Domain): Promise<void>
  /** False if it was not there. What accounts of it keep stays. */
  remove(host: string): Promise<boolean>
}

/**
 * Who is connected without an account. Nothing is kept of them when they go (`removeAccount`, which forgets them here too);
 * after a crash this is who did not go.
 */
export interface AnonymousStore {
  add(user: string, host: string): Promise<void>
  /** Takes back `add`, and nothing else. */
  remove(user: string, host: string): Promise<void>
  list(host: string): Promise<readonly string[]>
}

/** Whose data it is: of one account, or of the host itself with '' as the user. */
export interface ModuleDataOwner {
  readonly module: string
  readonly user: string
  readonly host: string
}

export interface ModuleDatum {
  readonly key: string
  readonly value: string
}

/** Texts by keys, which modules keep; each sees its own only. */
export interface ModuleDataStore {
  get(owner: ModuleDataOwner, key: string): Promise<string | undefined>
  /**
   * Changes one with nothing in between: `change` gets the value and returns what it shall be; undefined deletes it, the same
   * changes nothing. It only looks at what it gets: it may be called more than once, and what it throws is thrown. 'full' when
   * the owner would have more than these keys or bytes (of keys and values); nothing is changed then.
   */
  update(
    owner: ModuleDataOwner,
    key: string,
    change: (old: string | undefined) => string | undefined,
    limits: { readonly keys: number; readonly bytes: number },
  ): Promise<'done' | 'full'>
  /** In order of the key. */
  list(owner: ModuleDataOwner): Promise<readonly ModuleDatum[]>
  /** What any module keeps for an account, in order of module and key. */
  ofAccount(user: string, host: string): Promise<readonly (ModuleDatum & { readonly module: string })[]>
  /** How many values a module keeps on a host, for its accounts too. */
  countModule(module: string, host: string): Promise<number>
  /** Deletes them; gives how many there were. */
  removeModule(module: string, host: string): Promise<number>
}
