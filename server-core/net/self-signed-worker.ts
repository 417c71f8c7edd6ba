/** The thread's side of self-signed.ts, a program of its own: the host comes as its data, the PEM is its message. */
import { parentPort, workerData } from 'node:worker_threads'
import { generate } from 'selfsigned'

const days = 3_650

const host = String(workerData)
const now = Date.now()
const pems = await generate([{ name: 'commonName', value: host }], {
  keyType: 'ec',
  curve: 'P-256',
  algorithm: 'sha256',
  notBeforeDate: new Date(now - 3_600_000),
  notAfterDate: new Date(now + days * 86_400_000),
  extensions: [
    { name: 'basicConstraints', cA: false },
    { name: 'keyUsage', digitalSignature: true },
    { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
    { name: 'subjectAltName', altNames: [{ type: 2, value: host }] },
  ],
})
parentPort?.postMessage(`${pems.cert}\n${pems.private}\n`)
