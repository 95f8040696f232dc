import { describeLogins } from '../support/login-spec.ts';

describeLogins('inline');
