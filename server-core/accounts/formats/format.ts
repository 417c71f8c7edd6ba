/** What a way to keep a password is: one file each in this folder, one line in index.ts. */

export interface PasswordFormat {
  readonly name: string
  /** How values of this format begin; by that a value of unknown origin is recognised. */
  readonly prefixes: readonly string[]
  /** What is hashed: the bytes as they were typed, or the text after SASLprep (RFC 4013), as SCRAM demands. */
  readonly of: 'bytes' | 'prepared'
  /**
   * Whether the password is the one that the value was made of. Compares in constant time, derives off the event loop, and
   * throws UnusableCredential for a value that can never be verified.
   */
  verify(value: string, password: Buffer, signal: AbortSignal): Promise<boolean>
  /** Absent: passwords are not kept in this format, only verified. */
  make?(password: Buffer, signal: AbortSignal): Promise<string>
  /** Whether `make` would make no stronger one today; absent: always. */
  isCurrent?(value: string): boolean
}

/** A stored value that nobody can log in with, whatever the password. The text never holds the value. */
export class UnusableCredential extends Error {
  override readonly name = 'UnusableCredential'
}
