/** The table of services. */
import type { ServiceSpec } from '../extend/services.ts'
import { serviceAdminExtra } from './service-admin-extra.ts'
import { serviceCache } from './service-cache.ts'

export const services: readonly ServiceSpec[] = [serviceAdminExtra, serviceCache]
