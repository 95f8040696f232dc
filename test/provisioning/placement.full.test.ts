import { describePlacement } from '../support/placement-spec.ts';

describePlacement('fresh');
