drop table _hypercopy.backend, _hypercopy.step, _hypercopy.task, _hypercopy.job;
drop schema _hypercopy;
