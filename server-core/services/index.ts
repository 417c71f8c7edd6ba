/** The table of services. */
import type { ServiceSpec } from '../extend/services.ts'
import { serviceCache } from './service-cache.ts'

export const services: readonly ServiceSpec[] = [serviceCache]
