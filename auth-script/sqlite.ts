/** Our own accounts in an SQLite file, which a gatehouse server may use at the same time. */
import { Accounts } from '../server-core/accounts/accounts.ts'
import type { NewPasswordFormat } from '../server-core/accounts/password.ts'
import { InternalBackend } from '../server-core/auth/internal.ts'
import type { Logger } from '../server-core/log.ts'
import { SqliteStorage } from '../server-core/storage/sqlite/index.ts'

export interface SqliteOptions {
  readonly file: string
  readonly password_format: NewPasswordFormat
  readonly rehash: boolean
  /** The server whose file it is makes it. */
  readonly must_exist?: boolean
}

/** The file is opened by the first request, and again after trouble: this program starts with whatever there is. */
export class SqliteBackend extends InternalBackend {
  readonly file: string
  readonly #storage: SqliteStorage

  constructor({ file, password_format, rehash, must_exist = false }: SqliteOptions, log: Logger) {
    const storage = new SqliteStorage({ file, mustExist: must_exist })
    super(new Accounts({ storage, log, passwordFormat: password_format, rehash }))
    this.file = file
    this.#storage = storage
  }

  /** Opens the file now; rejects with StorageUnavailable, whose text says what to look at. */
  async open(): Promise<void> {
    await this.#storage.open()
  }

  override async close(): Promise<void> {
    await super.close()
    await this.#storage.close()
  }
}
