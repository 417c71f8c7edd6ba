/** What is kept about an account, as a ZIP archive of CSV files that is made while it is sent. */
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { createGunzip } from 'node:zlib'
import { Zip, ZipDeflate } from 'fflate'
import { personalData } from '../migrate/personal-data.ts'
import type { AdminServer } from './admin-server.ts'

/** So much text is packed at once; packing happens in this process, which has other things to do as well. */
const portionLength = 65_536

export async function* personalArchive(
  server: AdminServer,
  user: string,
  host: string,
): AsyncGenerator<Uint8Array> {
  const ready: Uint8Array[] = []
  let failure: Error | null = null
  const zip = new Zip((error, chunk) => {
    failure ??= error
    if (chunk.length > 0) ready.push(chunk)
  })
  const packed = function* (): Generator<Uint8Array> {
    if (failure) throw failure
    yield* ready.splice(0)
  }
  for (const { name, header, rows } of personalData) {
    const kind = rows(server.storage, user, host)
    yield* member(zip, `${name}.csv`, csv(header, kind), packed)
  }
  const logs = `logs-${server.node.replaceAll(/[^\w@.-]/g, '_')}.txt`
  yield* member(zip, logs, logLines(server.logFile, user, host), packed, true)
  zip.end()
  yield* packed()
}

async function* member(
  zip: Zip,
  name: string,
  text: AsyncIterable<string>,
  packed: () => Generator<Uint8Array>,
  evenEmpty = false,
): AsyncGenerator<Uint8Array> {
  let file: ZipDeflate | undefined
  let waiting = ''
  const begin = (): ZipDeflate => {
    const begun = new ZipDeflate(name, { level: 6 })
    zip.add(begun)
    return begun
  }
  for await (const part of text) {
    waiting += part
    if (waiting.length < portionLength) continue
    file ??= begin()
    file.push(Buffer.from(waiting), false)
    waiting = ''
    yield* packed()
    await new Promise((resolve) => setImmediate(resolve))
  }
  if (file === undefined && waiting === '' && !evenEmpty) return
  file ??= begin()
  file.push(Buffer.from(waiting), true)
  yield* packed()
}

/** With its heading; nothing at all when there are no rows. */
async function* csv(
  header: readonly string[],
  rows: AsyncIterable<readonly string[]>,
): AsyncGenerator<string> {
  let isFirst = true
  for await (const row of rows) {
    if (isFirst) yield csvLine(header)
    isFirst = false
    yield csvLine(row)
  }
}

function csvLine(fields: readonly string[]): string {
  const quoted = fields.map((field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field))
  return `${quoted.join(',')}\n`
}

/** Every line of the log and of its older files that names the account: as an address, or by its two parts. */
async function* logLines(file: string | undefined, user: string, host: string): AsyncGenerator<string> {
  if (file === undefined) return
  const address = `${user}@${host}`.toLowerCase()
  const parts = [`"user":${JSON.stringify(user)}`, `"host":${JSON.stringify(host)}`]
  const isAbout = (line: string) =>
    line.toLowerCase().includes(address) || parts.every((part) => line.includes(part))
  for (const path of await logFiles(file)) {
    const raw = createReadStream(path)
    const input = path.endsWith('.gz') ? raw.pipe(createGunzip()) : raw
    raw.on('error', () => input.destroy())
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (isAbout(line)) yield `${line}\n`
    }
  }
}

/** gatehouse.log, and beside it gatehouse.log.1, gatehouse.log-20260101.gz: oldest name last. */
async function logFiles(file: string): Promise<string[]> {
  const names = await readdir(dirname(file)).catch((): string[] => [])
  const name = basename(file)
  return names
    .filter((other) => other === name || other.startsWith(`${name}.`) || other.startsWith(`${name}-`))
    .sort()
    .map((other) => join(dirname(file), other))
}
