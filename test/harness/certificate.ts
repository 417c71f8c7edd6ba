/** Self-signed certificates for private servers, made with openssl. */
import { run } from './process.ts'

export interface CertificateFiles {
  readonly certificate: string
  readonly key: string
}

export async function makeCertificate(
  host: string,
  file: (name: string) => string,
): Promise<CertificateFiles> {
  const files = { certificate: file('cert.pem'), key: file('key.pem') }
  const made = await run('openssl', [
    ...'req -x509 -newkey rsa:2048 -nodes -days 9'.split(' '),
    ...['-subj', `/CN=${host}`, '-keyout', files.key, '-out', files.certificate],
  ])
  if (made.code !== 0) throw new Error(`openssl: ${made.stderr}`)
  return files
}
