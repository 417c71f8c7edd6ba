/** Certificates before the server starts: every file read, and for each host what its clients will see. */
import { readFile } from 'node:fs/promises'
import {
  certificateProblems,
  chooseCertificate,
  daysLeft,
  type HostsCertificate,
  type PemFile,
  readPem,
} from '../net/certificates.ts'
import type { Checked, Found } from './checks.ts'
import type { Path } from './complaint.ts'
import { reason } from './load-yaml.ts'
import { type Config, hostConfig } from './schema.ts'

const options = ['certfiles', 'c2s_cafile'] as const

/** Files that cannot be used are mistakes; what clients may not like is a warning. */
export async function checkCertificates({ config }: Checked): Promise<readonly Found[]> {
  const files = new Files()
  const found: Found[] = []
  const bags: readonly {
    readonly path: Path
    readonly bag: Partial<Record<(typeof options)[number], unknown>>
  }[] = [
    { path: [], bag: config },
    ...config.hosts.map((host) => ({ path: ['host_config', host], bag: config.host_config[host] ?? {} })),
  ]
  for (const { path, bag } of bags) {
    for (const option of options) {
      const list = (bag[option] ?? []) as readonly string[]
      for (const [i, file] of list.entries()) {
        const message = await files.problem(file, option === 'c2s_cafile')
        if (message !== undefined) found.push({ path: [...path, option, i], at: 'value', message })
      }
    }
  }
  for (const host of new Set(config.hosts)) found.push(...(await ofHost(config, host, files)))
  return found.filter(
    ({ path, message }, i) =>
      found.findIndex((one) => one.message === message && String(one.path) === String(path)) === i,
  )
}

async function ofHost(config: Config, host: string, files: Files): Promise<readonly Found[]> {
  const own = config.host_config[host]?.certfiles !== undefined
  const path: Path = own ? ['host_config', host, 'certfiles'] : ['certfiles']
  const { certfiles } = hostConfig(config, host)
  if (certfiles.length === 0) return []
  const read = await files.all(certfiles)
  if (!read) return []
  const warn = (message: string): Found => ({ path, at: 'value', message, warning: true })
  try {
    const certificate = chooseCertificate(host, read)
    if (!certificate) return [warn(`none of them is for ${host}: its clients see a self-signed certificate`)]
    return certificateProblems(certificate).map((problem) => warn(`the certificate of ${host} ${problem}`))
  } catch (error) {
    return [{ path, at: 'value', message: (error as Error).message }]
  }
}

/** A line for each host that has certificate files, for people; of a configuration without mistakes. */
export async function certificateSummary(config: Config): Promise<readonly string[]> {
  const files = new Files()
  const lines: string[] = []
  for (const host of new Set(config.hosts)) {
    const read = await files.all(hostConfig(config, host).certfiles)
    const certificate = read && chooseCertificate(host, read)
    if (certificate) lines.push(`certificate of ${host}: ${inWords(certificate)}`)
  }
  return lines
}

function inWords(certificate: HostsCertificate): string {
  const { file, names, expires } = certificate
  const days = daysLeft(certificate)
  const left = days < 0 ? 'ended' : days === 1 ? '1 day left' : `${days} days left`
  return `${file}, for ${names.join(', ')}, until ${new Date(expires).toISOString().slice(0, 10)} (${left})`
}

/** Each is read once. */
class Files {
  readonly #read = new Map<string, Promise<PemFile | string>>()

  /** What is wrong with a file; undefined when it can be used. */
  async problem(file: string, isOfAuthorities: boolean): Promise<string | undefined> {
    const read = await this.#get(file)
    if (typeof read === 'string') return read
    const isUseless = isOfAuthorities && read.certificates.length === 0 && read.revoked.length === 0
    return isUseless ? `${file} holds no certificate of an authority` : undefined
  }

  /** Undefined when one of them cannot be used. */
  async all(files: readonly string[]): Promise<readonly PemFile[] | undefined> {
    const read = await Promise.all(files.map((file) => this.#get(file)))
    return read.some((one) => typeof one === 'string') ? undefined : (read as PemFile[])
  }

  #get(file: string): Promise<PemFile | string> {
    const known = this.#read.get(file) ?? readFileOrWhyNot(file)
    this.#read.set(file, known)
    return known
  }
}

async function readFileOrWhyNot(file: string): Promise<PemFile | string> {
  let text: string
  try {
    text = await readFile(file, 'latin1')
  } catch (error) {
    return `${file} cannot be read: ${reason(error)}`
  }
  try {
    return readPem(file, text)
  } catch (error) {
    return (error as Error).message
  }
}
